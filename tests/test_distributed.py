"""Several processes train one energy: what two of them learn is what one learns.

Run as a program, under torchrun, this file is the two processes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.schedule import Level, Schedule
from models.terms.pixels import PixelConfig, PixelEnergy
from models.train.curriculum import Curriculum, Phase, TrainingConfig
from models.train.distributed import World, init_distributed
from models.train.run_dir import Progress
from models.train.trainer import Trainer
from tests.helpers import tinted

ROOT = Path(__file__).parents[1]
CONFIG = TrainingConfig(
    PixelConfig(coarsest=8, finest=16, width=4, max_width=8),
    Curriculum(Schedule((Level(8, 2), Level(16, 2))), (Phase(6, 4, r1_weight=0.5), Phase(8, 6))),
    loss="contrastive",
    sheet_every=5,
)
# Noise of all kinds, and step sizes that training measures.
RANDOM = {"step_size": 0.0, "step_rms": 0.05, "smoothing": 0.1, "jitter": 1, "temperature": 0.05}
NOISY = replace(
    CONFIG, loss="logistic",
    curriculum=replace(CONFIG.curriculum, schedule=Schedule((Level(8, 2, **RANDOM), Level(16, 2, **RANDOM)))),  # type: ignore[arg-type]
)  # fmt: skip
TOLERANCE = 1e-5  # of numbers up to 1: sums in another order; 1e-6 was found
RED, ORANGE = tinted(0, (180, 20, 20)), tinted(1, (190, 120, 20))


def trainer(run: Path, world: World, *, resume: bool = False) -> Trainer:
    """What the name of the folder says."""
    source = None if "noise" in run.name else RED
    config = NOISY if "shaken" in run.name else CONFIG
    return Trainer(run, config, ORANGE, source, names=("red", "orange"), world=world, resume=resume)


def two_processes(folder: Path) -> None:
    """What each of the two does; the results of each are in its own file."""
    with init_distributed(torch.device("cpu")) as (world, _):
        trainer(folder / "whole", world).train()
        trainer(folder / "half", world).train(iterations=9)
        trainer(folder / "noise", world).train(iterations=4)
        shaken = trainer(folder / "shaken", world)
        shaken.train(iterations=8)

        blown = trainer(folder / "blown", world)
        events: list[str] = []

        def sabotage(progress: Progress) -> None:
            events.append(progress.event)
            if world.rank == 1 and progress.iteration == 7 and not any(events):
                assert isinstance(blown.energy, PixelEnergy)
                with torch.no_grad():
                    blown.energy.project.weight.fill_(float("nan"))

        blown.train(report=sabotage)
        stopped = trainer(folder / "stopped", world)
        stopped.train(stop=lambda: world.rank == 1 and stopped.iteration == 3)
        found = {
            "events": [event for event in events if event],
            "iterations": [blown.iteration, stopped.iteration],
            "weights": [float(sum(v.double().sum() for v in t.average.state_dict().values())) for t in (blown, shaken)],
        }
        (folder / f"{world.rank}.json").write_text(json.dumps(found))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which two processes have done all of the above."""
    folder = tmp_path_factory.mktemp("two")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, "-m", "tests.test_distributed", str(folder)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    return folder


def assert_same(one: Trainer, other: Trainer) -> None:
    expected, found = one.state(), other.state()
    assert expected.keys() == found.keys()
    assert torch.equal(expected["random.cpu"], found["random.cpu"])
    for name, value in expected.items():
        # The losses compare energies: their common offset has no slope but rounding errors, which Adam enlarges.
        if name != "random.cpu" and not name.endswith("project.bias"):
            torch.testing.assert_close(found[name], value, rtol=0, atol=TOLERANCE, msg=name)


@pytest.mark.parametrize(("name", "iterations"), [("whole", 14), ("noise", 4), ("shaken", 8)])
def test_two_processes_learn_what_one_learns_from_the_joint_batch(
    done: Path, tmp_path: Path, name: str, iterations: int
) -> None:
    alone = trainer(tmp_path / name, World())
    alone.train(iterations=iterations)
    assert_same(alone, trainer(done / name, World(), resume=True))
    together = trainer(done / name, World(), resume=True)
    assert len(alone.log.rows) == len(together.log.rows)
    assert together.batches.step_sizes == pytest.approx(alone.batches.step_sizes, rel=1e-5)
    assert bool(together.batches.step_sizes) == (name == "shaken")


def test_a_run_of_two_processes_is_resumed_by_one(done: Path, tmp_path: Path) -> None:
    alone = trainer(tmp_path / "whole", World())
    alone.train()
    resumed = trainer(done / "half", World(), resume=True)
    assert resumed.iteration == 9
    resumed.train()
    assert_same(alone, resumed)


def test_both_take_the_same_decisions_whichever_has_the_reason(done: Path) -> None:
    first, second = (json.loads((done / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    assert first["events"] == ["blew up at iteration 8, rolled back to 0"]
    assert first["iterations"] == [14, 3]


def test_batches_that_cannot_be_shared_out_are_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a batch of 4 pictures cannot be shared out evenly among 3 processes"):
        trainer(tmp_path / "run", World(0, 3))
    assert not (tmp_path / "run").exists()


def test_the_slices_of_a_batch_are_the_batch() -> None:
    batch = torch.arange(12).reshape(6, 2)
    assert torch.equal(torch.cat([World(rank, 3).share(batch) for rank in range(3)]), batch)


def test_without_torchrun_a_process_is_alone() -> None:
    with init_distributed(torch.device("cpu")) as (world, device):
        assert world == World(0, 1)
        assert device == torch.device("cpu")


if __name__ == "__main__":
    two_processes(Path(sys.argv[1]))
