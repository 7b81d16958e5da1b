"""The training loop: contrast of target pictures with chain ends, growing from coarse to fine.

What a run leaves on the disk is in run_folder.py, what happens when energies run away in guard.py, and how several
processes train together in processes.py.
"""

from __future__ import annotations

import json
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils import parametrize

from models.checkpoint import FILE_NAME, BadModel, ModelConfig, load_state, save_model, save_state, write_whole
from models.data import Domain
from models.energy import Energy, EnergyConfig, EnergyFunction, effective_weights, with_spectral_norm
from models.guard import KEPT, Diverged, Guard
from models.langevin import climb, enlarge, focused, from_tone, pooled, tone_pyramid, uniform_start
from models.locating import LocatorLearner
from models.locator import evidence
from models.objective import Contrast, contrast, denoising
from models.processes import ALONE, Processes
from models.run_folder import CONFIG, LOG, SAMPLES, STATE, Checkpoints, Log, Progress, write_sheet
from models.schedule import Curriculum, Ladder, Phase, Position, Stage, ladder_from_dict
from models.shape import warped

SHOWN = 8  # pictures on a sample sheet
JUDGED = 64  # pictures that KID is measured on
WALKED_AT_ONCE = 16  # of those, so that fine stages fit into memory


@dataclass(frozen=True)
class TrainingConfig:
    """How one energy is trained; with the pictures and the seed, it determines the result on a given machine.

    reach: that of the training chains, softer than the ladder's own, which is for use: an energy that learns with
    stiff whites pushes the harder against them, and tints them all the same. penalty: weight of R1 for each unit of
    a stage's step size, so that it weighs the energy that a step gains at first order, step size x slope^2.
    penalty_every: iterations between two updates that look at it. overshoot: weight of the ranking of target pictures
    below overshot ones (see objective.py), for chains that start at sources; 0 for ladders that bend, since a
    change that follows one picture's shapes fits no other. zoom: training looks at crops with
    1 / zoom of a picture's sides; at 1 an energy learns what whole pictures show, at more it learns textures.
    from_noise: learn the way back from noise laid on targets (objective.denoising) in the place of chains; every stage
    of the ladder then needs a walk. With a source folder, chains that lay noise on sources and take it away are
    contrasted with targets as well, by the weight `contrast`, after `warm_up` iterations without.
    data_noise: standard deviation of the noise on target and source pictures, on the [-1, 1] scale. shortest, longest:
    the steps of a training chain are the ladder's times a number drawn from this range, so that the energy also learns
    where long chains lead, and a larger strength at use stays in known country. ema: decay of the averaged weights
    per iteration. sheet_every: iterations between sample sheets. bfloat16_up_to: the finest resolution whose training
    chains run in bfloat16; 0 for none. Processors with bfloat16 arithmetic run them 1.5 to 1.9 times as fast; the
    updates always run in float32.
    """

    network: EnergyConfig
    curriculum: Curriculum
    seed: int = 0
    reach: float = 1.15
    penalty: float = 0.25
    penalty_every: int = 4
    overshoot: float = 0.5
    zoom: int = 1
    from_noise: bool = False
    warm_up: int = 0
    contrast: float = 1.0
    data_noise: float = 0.01
    shortest: float = 0.75
    longest: float = 1.5
    gradient_clip: float = 1.0
    ema: float = 0.995
    sheet_every: int = 100
    bfloat16_up_to: int = 0

    def __post_init__(self) -> None:
        if self.from_noise and not all(stage.walk for stage in self.curriculum.ladder.stages):
            raise ValueError("to learn the way back from noise, every stage of the ladder needs a walk")
        if self.curriculum.ladder.bend and self.overshoot:
            raise ValueError("a ladder that bends needs an overshoot of 0: its changes fit no other picture")

    @property
    def picture_size(self) -> int:
        """Side of the training pictures in pixels: an eighth more than those of samples, for random crops."""
        return self.sample_size * 9 // 8

    @property
    def sample_size(self) -> int:
        """Side of the whole pictures that samples are made from, in pixels."""
        return self.curriculum.ladder.finest * self.zoom


def read_config(run: Path) -> TrainingConfig:
    """The settings that a run folder was started with. Raises FileNotFoundError, ValueError."""
    path = run / CONFIG
    if not path.exists():
        raise FileNotFoundError(f"{run} holds no run to resume")
    try:
        return config_from_dict(json.loads(path.read_text()))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} holds settings that this version cannot read: {error}") from error


def config_from_dict(data: Mapping[str, Any]) -> TrainingConfig:
    """The inverse of dataclasses.asdict. Raises KeyError, TypeError or ValueError where `data` is no such config."""
    curriculum = Curriculum(
        ladder_from_dict(data["curriculum"]["ladder"]),
        tuple(Phase(**phase) for phase in data["curriculum"]["phases"]),
    )
    return TrainingConfig(**{**data, "network": EnergyConfig(**data["network"]), "curriculum": curriculum})


@dataclass(frozen=True)
class Draw:
    """What one stage learns from: pictures (B, 3, R, R) in [-1, 1]; see objective.py.

    end: where the chains ended, or the noisy targets; then sigma (B, 1, 1, 1) says how much noise that is.
    """

    stage: Stage
    target: Tensor
    end: Tensor
    overshot: Tensor | None = None
    sigma: Tensor | None = None


class Trainer:
    """Trains one energy. `source` None: chains start at noise. Draws from torch's global generator, which it seeds.

    names: the two domains in words, for the model file. processes: those that train together, each with the same
    arguments. Raises FileExistsError where `run` already holds a run and `resume` is False, FileNotFoundError where
    there is none to resume, ValueError where it was started with other settings or pictures or where the processes
    cannot share its batches, BadModel for a broken state. A resumed run keeps the names it was started with.
    """

    def __init__(
        self,
        run: Path,
        config: TrainingConfig,
        target: Domain,
        source: Domain | None,
        *,
        names: tuple[str | None, str] = (None, ""),
        device: torch.device | str = "cpu",
        processes: Processes = ALONE,
        resume: bool = False,
    ) -> None:
        self.run_folder, self.config, self.target, self.source, self.names = run, config, target, source, names
        self.device, self.processes = torch.device(device), processes
        processes.check([phase.batch for phase in config.curriculum.phases])
        torch.manual_seed(config.seed)
        self.energy = self._network(with_spectral_norm(Energy(config.network)))
        self.sampler = self._network(Energy(config.network)).requires_grad_(False)
        self.average = self._network(Energy(config.network)).requires_grad_(False)
        self.average.load_state_dict(self._effective())
        self.optimiser = torch.optim.Adam(self.energy.parameters(), betas=(0.5, 0.999))
        # It is asked by chains at use alone, and learned beside the energy, for every model that is kept to have one.
        self.locating: LocatorLearner | None = None
        if source is not None and config.curriculum.ladder.focus:
            self.locating = LocatorLearner(source, target, seed=config.seed, steps=config.curriculum.iterations)
        self.iteration = 0
        self.seconds = 0.0
        self.log = Log()
        self.checkpoints = Checkpoints(run)
        if resume:
            self._load()
        elif (run / STATE).exists():
            raise FileExistsError(f"{run} already holds a run; resume it or choose another folder")
        else:
            if processes.first:
                run.mkdir(parents=True, exist_ok=True)
                write_whole(run / CONFIG, json.dumps(asdict(config), indent=1).encode())
            self.guard = Guard([self.state()])

    def train(
        self,
        *,
        minutes: float | None = None,
        iterations: int | None = None,
        save_every: float = 180.0,
        stop: Callable[[], bool] = lambda: False,
        report: Callable[[Progress], None] = lambda progress: None,
        kid: Callable[[Tensor], float] | None = None,
    ) -> None:
        """Train until the curriculum is done, `iterations` in all or `minutes` from now are over, or stop() is true.

        Saves before it returns, also when it is interrupted, and every `save_every` seconds; where it ends early it
        leaves a sample sheet. `report` hears of every iteration. kid: KID x100 of pictures (N, 3, S, S) in [-1, 1], or
        NaN; it is asked at every regular sheet. Raises Diverged.
        """
        whole = self.config.curriculum.iterations
        total = whole if iterations is None else min(whole, iterations)
        begin = saved = time.monotonic()
        # The first iteration and those that look at the model take far longer: what is next is judged by its like.
        recent, looked = deque([0.0], maxlen=8), 0.0
        try:
            while self.iteration < total:
                now = time.monotonic()
                ahead = 2 * max(recent) + (looked if self._looks_at(self.iteration + 1) else 0)
                late = minutes is not None and now - begin + ahead > 60 * minutes
                if self.processes.any(late or stop()):
                    self._leave_sheet()
                    break
                progress = self._iterate(total)
                recent.append(time.monotonic() - now)
                if not progress.event and (self._looks_at(self.iteration) or self.iteration == total):
                    progress = self._look(progress, kid)
                    looked = time.monotonic() - now
                self.seconds += time.monotonic() - now
                self.log.add(progress)
                if progress.sheet is not None:
                    self.log.write(self.run_folder / LOG)
                report(progress)
                if time.monotonic() - saved > save_every:
                    self.save()
                    saved = time.monotonic()
        finally:
            self.save()

    # One iteration ---------------------------------------------------------------------------------------------------

    def _iterate(self, total: int) -> Progress:
        self.guard.look(self.iteration, self.state)
        position = self.config.curriculum.at(self.iteration)
        draws, moved = self._lay_noise(position) if self.config.from_noise else self._draw(position)
        if self.config.from_noise and self.source is not None and self.iteration >= self.config.warm_up:
            chained, moved = self._draw(position)
            draws = draws + chained
        target_energy, chain_energy, penalty, moved_all = self._learn(draws, moved, position)
        if self.locating is not None:
            self.locating.step(self.iteration)
        progress = Progress(
            self.iteration, total, self.seconds, self.config.curriculum.ladder.stages[position.stage].resolution,
            position.beta, target_energy, chain_energy, penalty, math.sqrt(moved_all),
        )  # fmt: skip
        if not self.guard.judge(self.iteration, target_energy, chain_energy, progress.change):
            return replace(progress, event=self._roll_back())
        self.iteration += 1
        return progress

    def _draw(self, position: Position) -> tuple[list[Draw], Tensor]:
        """What each stage reached learns from; and how far the newest stage's chains moved, mean squared.

        The batches are this process's slices of those that all have drawn.
        """
        config, curriculum, share = self.config, self.config.curriculum, self.processes.share
        phase = curriculum.phases[position.stage]
        stretch = config.shortest + (config.longest - config.shortest) * torch.rand(()).item()
        whole = curriculum.ladder.up_to(curriculum.ladder.stages[position.stage].resolution)
        ladder = replace(whole.with_steps(stretch), reach=config.reach, shade=0.0)
        self.sampler.load_state_dict(self._effective())
        targets = self._noisy(self.target.batch(phase.batch, ladder.finest, config.zoom))
        target = share(targets)
        if self.source is None:
            sources, reference = None, targets.mean(dim=0, keepdim=True)
            start = share(uniform_start(phase.batch, ladder)).to(target)
        else:
            reference = share(self._noisy(self.source.batch(phase.batch, ladder.finest, config.zoom)))
            sources = tone_pyramid(reference, ladder)
            start = sources[0]
        energy_at = self._energies(self.sampler, ladder.finest, position.beta, config.bfloat16_up_to)
        generator = self.processes.generator() if ladder.random else None
        ends = {s.resolution: s.z for s in climb(energy_at, ladder, start, sources, generator)}
        targets_at = tone_pyramid(target, ladder)
        draws = []
        for number, stage in enumerate(ladder.stages):
            overshot = None
            if sources is not None and config.overshoot:
                overshot = targets_at[number] + (ends[stage.resolution] - sources[number])
                overshot = self._pixels(overshot.clamp(min=-1))
            end = self._pixels(ends[stage.resolution])
            draws.append(Draw(stage, pooled(target, ladder.finest // stage.resolution), end, overshot))
        return draws, (draws[-1].end - reference).square().mean()

    def _lay_noise(self, position: Position) -> tuple[list[Draw], Tensor]:
        """As `_draw`, with noise on the targets in the place of chains.

        On finer stages half of them are blurred first: a chain that comes from a coarser stage looks like that.
        """
        curriculum, share = self.config.curriculum, self.processes.share
        ladder = curriculum.ladder.up_to(curriculum.ladder.stages[position.stage].resolution)
        count = curriculum.phases[position.stage].batch
        targets = self._noisy(self.target.batch(count, ladder.finest, self.config.zoom))
        draws = []
        for number, stage in enumerate(ladder.stages):
            target = pooled(targets, ladder.finest // stage.resolution)
            blurred = enlarge(pooled(target, 2)) if number else target
            begin = torch.where(torch.rand(count, 1, 1, 1).to(target) < 0.5, blurred, target)
            sigma = torch.rand(count, 1, 1, 1).square()
            noisy = (begin + (sigma * torch.randn(target.shape)).to(target)).clamp(-1, 1)
            draws.append(Draw(stage, share(target), share(noisy), sigma=share(sigma).to(target)))
        return draws, (draws[-1].end - draws[-1].target).square().mean()

    def _pixels(self, tones: Tensor) -> Tensor:
        return from_tone(tones, self.config.reach).clamp(-1, 1)

    def _learn(self, draws: list[Draw], moved: Tensor, position: Position) -> tuple[float, float, float, float]:
        """One update on the stages' summed losses.

        Returns target energy, chain energy and penalty of the newest stage, and `moved`, over all processes.
        """
        finest = draws[-1].stage.resolution
        # The penalty costs half of an update; at every few with that much more weight it does the same (Karras et al.,
        # "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020).
        every = self.config.penalty_every
        weight = every * self.config.penalty if self.iteration % every == 0 else 0.0
        energy_at = self._energies(self.energy, finest, position.beta)
        self.optimiser.zero_grad()
        self.energy.train()
        with parametrize.cached():  # one power iteration an update, however often the weights are looked at
            terms = [self._term(energy_at(draw.stage.resolution), draw, weight) for draw in draws]
            torch.stack([term.loss for term in terms]).sum().backward()
        newest = terms[-1]
        figures = torch.stack([newest.target_energy, newest.chain_energy, newest.penalty, moved]).detach()
        gradients = [p.grad for p in self.energy.parameters() if p.grad is not None]
        self.processes.average([*gradients, figures])
        for group in self.optimiser.param_groups:
            group["lr"] = self.guard.caution * self.config.curriculum.learning_rate(self.iteration)
        steepness = torch.nn.utils.clip_grad_norm_(self.energy.parameters(), self.config.gradient_clip)
        if not torch.isfinite(steepness):
            return math.nan, math.nan, math.nan, math.nan
        self.optimiser.step()
        self._average()
        target_energy, chain_energy, penalty, moved_all = figures.tolist()
        return target_energy, chain_energy, penalty, moved_all

    def _term(self, energy: EnergyFunction, draw: Draw, penalty: float) -> Contrast:
        stage = draw.stage
        if draw.sigma is not None:
            return denoising(energy, draw.target, draw.end, draw.sigma, stage.walk)
        weight = penalty * stage.step_size
        found = contrast(energy, draw.target, draw.end, weight, draw.overshot, self.config.overshoot)
        return replace(found, loss=self.config.contrast * found.loss)

    @torch.no_grad()
    def _average(self) -> None:
        # The average of few updates must not remember the random start.
        decay = min(self.config.ema, (1 + self.iteration) / (10 + self.iteration))
        weights = self._effective()
        for name, value in self.average.state_dict().items():
            value.lerp_(weights[name], 1 - decay)

    def _roll_back(self) -> str:
        blown, good = self.iteration, self.guard.good
        if self.guard.exhausted:
            self._restore(good)
            raise Diverged(
                f"training keeps blowing up, now after iteration {self.iteration}, whatever state it goes back to; "
                "try a smaller learning rate or a larger penalty"
            )
        # The random state is NOT restored: the same batches would lead to the same end.
        self._restore({name: value for name, value in good.items() if not name.startswith("random.")})
        return f"blew up at iteration {blown}, rolled back to {self.iteration}"

    def _energies(
        self, network: Energy, finest: int, beta: float, bfloat16_up_to: int = 0
    ) -> Callable[[int], EnergyFunction]:
        def energy_at(resolution: int) -> EnergyFunction:
            energy = network.at(resolution, beta if resolution == finest else 1.0)

            def in_bfloat16(x: Tensor) -> Tensor:
                with torch.autocast(self.device.type, torch.bfloat16):
                    return energy(x).float()

            return in_bfloat16 if resolution <= bfloat16_up_to else energy

        return energy_at

    def _noisy(self, x: Tensor) -> Tensor:
        noisy = (x + self.config.data_noise * torch.randn(x.shape)).clamp(-1, 1)
        return noisy.to(self.device).contiguous(memory_format=torch.channels_last)

    def _network(self, energy: Energy) -> Energy:
        return energy.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _effective(self) -> dict[str, Tensor]:
        self.energy.eval()  # looking at the weights must not turn the power iteration on
        return effective_weights(self.energy)

    # What stays ------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Tensor]:
        """A copy of the whole training state as named tensors."""
        state = {f"energy.{k}": v for k, v in self.energy.state_dict().items()}
        state |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        for number, moments in self.optimiser.state_dict()["state"].items():
            state |= {f"adam.{number}.{k}": v for k, v in moments.items()}
        if self.locating is not None:
            state |= {f"locator.{k}": v for k, v in self.locating.locator.state_dict().items()}
            for number, moments in self.locating.optimiser.state_dict()["state"].items():
                state |= {f"locator_adam.{number}.{k}": v for k, v in moments.items()}
        state["random.cpu"] = torch.get_rng_state()
        state["iteration"] = torch.tensor(self.iteration)
        return {name: value.detach().clone() for name, value in state.items()}

    def _restore(self, state: Mapping[str, Tensor]) -> None:
        self.energy.load_state_dict(_part(state, "energy."))
        self.average.load_state_dict(_part(state, "average."))
        _restore_moments(self.optimiser, _part(state, "adam."))
        if self.locating is not None:
            self.locating.locator.load_state_dict(_part(state, "locator."))
            _restore_moments(self.locating.optimiser, _part(state, "locator_adam."))
        if "random.cpu" in state:
            torch.set_rng_state(state["random.cpu"])
        self.iteration = int(state["iteration"])

    def save(self) -> None:
        """Write state, model and log, each whole or not at all."""
        if not self.processes.first:
            return
        tensors = {f"now.{k}": v for k, v in self.state().items()}
        for age, state in enumerate(reversed(self.guard.states)):
            tensors |= {f"{_good(age)}.{k}": v for k, v in state.items()}
        save_state(
            self.run_folder / STATE, tensors,
            {
                "config": asdict(self.config), "names": self.names, "data": self._data(),
                "seconds": self.seconds, "guard": self.guard.counts, "rows": len(self.log.rows),
            },
        )  # fmt: skip
        self._save_model(self.run_folder / FILE_NAME, self.model_config())
        self.log.write(self.run_folder / LOG)

    def _save_model(self, path: Path, model: ModelConfig) -> None:
        with torch.device("meta"):  # draws no random number, which would change the training
            wanted = Energy(model.network).state_dict().keys()
        # A blow-up that the guard has not seen yet must not reach the model that people use.
        sane = all(bool(torch.isfinite(v).all()) for v in self.average.state_dict().values())
        average = self.average.state_dict() if sane else _part(self.guard.good, "average.")
        locator = None if self.locating is None else self.locating.locator
        save_model(path, {k: v for k, v in average.items() if k in wanted}, model, locator)

    def model_config(self) -> ModelConfig:
        """The configuration of the model as it stands: the stages that are wholly faded in."""
        ladder = self.ready_ladder()
        trained = {"iterations": self.iteration, "seconds": round(self.seconds), "seed": self.config.seed}
        return ModelConfig(
            network=replace(self.config.network, finest=ladder.finest), ladder=ladder, zoom=self.config.zoom,
            source=self.names[0], target=self.names[1], trained=trained,
        )  # fmt: skip

    def ready_ladder(self) -> Ladder:
        """The stages that are wholly faded in."""
        curriculum = self.config.curriculum
        position = curriculum.at(max(0, self.iteration - 1))
        newest = position.stage if position.beta >= 1 else position.stage - 1
        return curriculum.ladder.up_to(curriculum.ladder.stages[newest].resolution)

    def _load(self) -> None:
        path = self.run_folder / STATE
        if not path.exists():
            raise FileNotFoundError(f"{self.run_folder} holds no run to resume")
        tensors, meta = load_state(path)
        if not _same(meta["config"], self.config):
            raise ValueError(f"{self.run_folder} was started with other settings; resume it with the same ones")
        if meta["data"] != self._data():
            raise ValueError(f"{self.run_folder} was started with other pictures; resume it with the same folders")
        try:
            self._restore(_part(tensors, "now."))
            states = [state for age in reversed(range(KEPT)) if (state := _part(tensors, f"{_good(age)}."))]
            if "guard" not in meta:  # an older version counted one thing
                meta["guard"] = {"rollbacks": meta["rollbacks"], "stuck": meta["rollbacks"]}
            self.guard = Guard(states, **meta["guard"])
            self.seconds, self.names = meta["seconds"], tuple(meta["names"])
        except (KeyError, IndexError, RuntimeError) as error:
            raise BadModel(f"{path.name} is not a whole training state") from error
        self.log.read(self.run_folder / LOG, meta["rows"])

    def _data(self) -> list[str | None]:
        return [domain.digest if domain is not None else None for domain in (self.target, self.source)]

    # What it looks like ----------------------------------------------------------------------------------------------

    def samples(self, count: int) -> tuple[Tensor | None, Tensor]:
        """Fixed sources and what the averaged model makes of them: up to `count` pictures (N, 3, S, S) in [-1, 1].

        S is the config's sample_size; the change of a chain that does not reach so far yet is enlarged to it, and so is
        the flow of one that bends. For chains from noise the first is None, the noise is fixed and the pictures
        themselves are enlarged.
        """
        ladder, size = self.ready_ladder(), self.config.sample_size
        energy_at = self._energies(self.average, ladder.finest, 1.0)
        generator = torch.Generator().manual_seed(self.config.seed)
        sources = None if self.source is None else self.source.first(count, size)
        starts = uniform_start(count, ladder, generator) if sources is None else sources
        made = []
        for start in starts.to(self.device).split(WALKED_AT_ONCE):
            low = None if sources is None else pooled(start, size // (ladder.finest * self.config.zoom))
            pyramid = None if low is None else tone_pyramid(low, ladder)
            *_, last = climb(energy_at, ladder, start if pyramid is None else pyramid[0], pyramid, generator)
            end = from_tone(last.z, ladder.reach)
            if low is not None and last.flow is not None:
                low = warped(low, last.flow)
                start = warped(start, F.interpolate(last.flow, (size, size), mode="bicubic"))
            if low is not None:
                counts = None if self.locating is None else evidence(self.locating.locator, low.cpu()).to(low)
                end = focused(low, end, ladder.focus, counts)
            change = F.interpolate(end if low is None else end - low, (size, size), mode="bilinear")
            made.append((change if low is None else start + change).clamp(-1, 1).cpu())
        return sources, torch.cat(made)

    def _look(self, progress: Progress, kid: Callable[[Tensor], float] | None) -> Progress:
        """Sheet, checkpoint and KID of the averaged model. The first process looks, the others wait at the next update.

        Whatever this draws, the training goes on as if nobody had looked.
        """
        if not self.processes.first:
            return progress
        with torch.random.fork_rng(devices=[]):
            sources, made = self.samples(SHOWN if kid is None else JUDGED)
            figure = math.nan if kid is None else kid(made)
        measured = {self.iteration: figure} if math.isfinite(figure) else {}
        sheet = self._write_sheet(sources, made)
        model = self.model_config()
        if measured:
            model = replace(model, trained={**model.trained, "kid_x100": round(figure, 2)})
        self._save_model(self.checkpoints.path(self.iteration), model)
        self.checkpoints.drop(self.iteration, {**self.log.kids(), **measured})
        return replace(progress, kid=measured.get(self.iteration), sheet=sheet)

    def _looks_at(self, iteration: int) -> bool:
        return iteration % self.config.sheet_every == 0

    def _leave_sheet(self) -> None:
        """The sheet of a model that training stops at, without the rest of `_look`: somebody waits for the end."""
        if self.processes.first and not self._looks_at(self.iteration):
            with torch.random.fork_rng(devices=[]):
                self._write_sheet(*self.samples(SHOWN))

    def _write_sheet(self, sources: Tensor | None, made: Tensor) -> Path:
        rows = [made[:SHOWN]] if sources is None else [sources[:SHOWN], made[:SHOWN]]
        sheet = self.run_folder / SAMPLES / f"{self.iteration:06d}.png"
        write_sheet(sheet, torch.cat(rows), columns=len(rows[0]))
        return sheet


def _restore_moments(optimiser: torch.optim.Optimizer, state: Mapping[str, Tensor]) -> None:
    """state: the moments, named NUMBER.KEY."""
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in state.items():
        number, key = name.split(".", 1)
        moments.setdefault(int(number), {})[key] = value.clone()
    optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})


def _same(saved: Mapping[str, Any], config: TrainingConfig) -> bool:
    """Whether saved settings are these. What an older run knew nothing of stands at its default."""
    try:
        return config_from_dict(saved) == config
    except (KeyError, TypeError, ValueError):
        return False


def _good(age: int) -> str:
    """What a state file calls the guard's good states, the newest, of age 0, as versions did that knew no others."""
    return f"good-{age}" if age else "good"


def _part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
