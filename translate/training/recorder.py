"""What a training leaves for people beside its model: TensorBoard, learning curves, and a sentence at its end."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from models.train.run_dir import Progress
from models.train.trainer import Trainer
from translate.training.curves import save_curves
from translate.training.tensorboard_log import TensorBoardLog


class Recorder:
    """To be called with the progress of every iteration, inside its `with` block. say: hears each sentence."""

    def __init__(self, trainer: Trainer, say: Callable[[str], None]) -> None:
        self._trainer, self._say = trainer, say
        self._board = TensorBoardLog.open(trainer.run_dir, trainer.iteration)

    def __enter__(self) -> Recorder:
        return self

    def __call__(self, progress: Progress) -> None:
        if progress.event:
            self._say(progress.event)
        if self._board is not None:
            self._board.add(progress)
        if progress.sheet is not None:
            self._draw_curves()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._draw_curves()
        if self._board is not None:
            self._board.close()
        if error is None:
            self._conclude()

    def _draw_curves(self) -> None:
        try:
            save_curves(self._trainer.run_dir)
        except OSError as error:  # a picture of a training is no reason to end it
            self._say(f"curves.png cannot be written: {error.strerror or error}")

    def _conclude(self) -> None:
        trainer = self._trainer
        measured = trainer.log.measured()
        if (best := trainer.checkpoints.best(measured)) is not None:
            kid, error, rate = measured[best]
            figures = f"KID {kid:.1f} ± {error:.1f}" + ("" if rate is None else f", rate {rate:.2f}")
            self._say(f"the best by both figures on held-out pictures ({figures}): {trainer.checkpoints.path(best)}")
        done, all_of_them = trainer.iteration, trainer.config.curriculum.iterations
        if done < all_of_them:
            self._say(f"stopped after {done} of {all_of_them} iterations; go on with --resume")
