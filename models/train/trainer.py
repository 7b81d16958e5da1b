"""The training loop: contrast of target pictures with chain ends, growing from coarse to fine.

What it learns from is drawn in batches.py, what a run leaves on the disk is in run_dir.py, what happens when energies
run away in guard.py, and how several processes train together in distributed.py.
"""

from __future__ import annotations

import json
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from models.atomic import write_whole
from models.config import ModelConfig
from models.density import Density
from models.energy import EnergyFn
from models.errors import BadModel, Diverged
from models.gate import SIDE as PROBE_SIDE
from models.gate import DomainProbe, blended, fit_probe
from models.losses import LossTerms, adversarial_loss, denoising_loss
from models.model import Energy, Model, build, load_state, part, save_state
from models.names import FILE_NAME
from models.palette import Palette, fit_palette
from models.schedule import Schedule
from models.terms.perceptual import PerceptualEnergy
from models.terms.pixels import PixelConfig, PixelEnergy
from models.terms.spectral import effective_weights, set_effective_weights
from models.terms.textured import TexturedEnergy
from models.terms.trunk import load_trunk
from models.train.batches import Batches, LevelBatch
from models.train.curriculum import Position, TrainingConfig, same_settings
from models.train.data import ImageArray
from models.train.distributed import SINGLE, World
from models.train.guard import KEPT, Guard
from models.train.preview import from_noise, translated
from models.train.run_dir import CONFIG, LOG, SAMPLES, STATE, Checkpoints, Log, Measure, Progress, write_sheet
from models.train.starts import density_of, drawn_starts, transport_of
from models.train.state import capture, restore, without_random
from models.train.style import texture_of
from models.transport import Transport

SHOWN = 8  # pictures on a sample sheet
JUDGED = 64  # pictures that figures are measured on
MEASURED = 6, 32  # batches of each domain, and their pictures, that features are standardised by


class Trainer:
    """Trains one energy. Without `source`, chains of an energy on the trunk start at samples of a density, which is
    fitted to the target first, those of one from scratch at noise. Draws from torch's global generator, which it seeds.

    names: the two domains in words, for the model file. world: the processes that train together, each with the same
    arguments. Raises FileExistsError where `run` already holds a run and `resume` is False, FileNotFoundError where
    there is none to resume, ValueError where it was started with other settings or pictures or where the processes
    cannot share its batches, BadModel for a broken state. A resumed run keeps the names it was started with.
    held_out: sources that sheets show and figures are measured on, though nothing is learned from them; None: source.
    """

    def __init__(
        self,
        run: Path,
        config: TrainingConfig,
        target: ImageArray,
        source: ImageArray | None,
        *,
        held_out: ImageArray | None = None,
        names: tuple[str | None, str] = (None, ""),
        device: torch.device | str = "cpu",
        world: World = SINGLE,
        resume: bool = False,
    ) -> None:
        self.run_dir, self.config, self.target, self.names = run, config, target, names
        self.device, self.world = torch.device(device), world
        world.check([phase.batch for phase in config.curriculum.phases])
        self.given = source
        self.density: Density | None = None
        if source is None and not isinstance(config.energy, PixelConfig):
            self.density = density_of(target, config.seed).to(self.device)
            source, held_out = drawn_starts(self.density, config.picture_size, config.seed)
        self.source = source
        self.shown = held_out if held_out is not None and source is not None else source
        torch.manual_seed(config.seed)
        self.energy = self._network().train()
        self.energy.spectral_normalised()
        self.transport = self._fitted_transport()
        self.batches = Batches(config, target, source, self.device, world, self.transport)
        self.energy.measure(self._measured())
        self.sampler = self._network().requires_grad_(False)
        self.average = self._network().requires_grad_(False)
        self.average.load_state_dict(self._effective())
        self.optimiser = torch.optim.Adam(self.energy.parameters(), betas=(0.5, 0.99))
        self.probe = self._fitted_probe()
        self.palette = self._fitted_palette()
        level = config.texture
        self.texture = None if level is None else texture_of(target, level.resolution, self.device)
        self.iteration = 0
        self.seconds = 0.0
        self.log = Log()
        self.checkpoints = Checkpoints(run)
        if resume:
            self._load()
        elif (run / STATE).exists():
            raise FileExistsError(f"{run} already holds a run; resume it or choose another folder")
        else:
            if world.is_main:
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
        measure: Measure | None = None,
    ) -> None:
        """Train until the curriculum is done, `iterations` in all or `minutes` from now are over, or stop() is true.

        Saves before it returns, also when it is interrupted, and every `save_every` seconds; where it ends early it
        leaves a sample sheet. `report` hears of every iteration, `measure` of every regular sheet. Raises Diverged.
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
                if self.world.any(late or stop()):
                    self._leave_sheet()
                    break
                progress = self._iterate(total)
                recent.append(time.monotonic() - now)
                if not progress.event and (self._looks_at(self.iteration) or self.iteration == total):
                    progress = self._look(progress, measure)
                    looked = time.monotonic() - now
                self.seconds += time.monotonic() - now
                self.log.add(progress)
                if progress.sheet is not None:
                    self.log.write(self.run_dir / LOG)
                report(progress)
                if time.monotonic() - saved > save_every:
                    self.save()
                    saved = time.monotonic()
        finally:
            self.save()

    def start_from(self, energy: PerceptualEnergy) -> None:
        """Begin with the heads of a trained energy: every level with those of its finest one. Before the first
        iteration of a new run; raises ValueError where the heads have another shape."""
        finest = effective_weights(energy.term(energy.resolutions[-1]))
        assert isinstance(self.energy, PerceptualEnergy) and not self.iteration
        try:
            for resolution in self.energy.resolutions:
                set_effective_weights(self.energy.term(resolution), finest)
        except (KeyError, RuntimeError) as error:
            raise ValueError("the model to start from has heads of another shape") from error
        self.average.load_state_dict(self._effective())
        self.guard = Guard([self.state()])

    # One iteration ---------------------------------------------------------------------------------------------------

    def _iterate(self, total: int) -> Progress:
        self.guard.look(self.iteration, self.state)
        curriculum = self.config.curriculum
        position = curriculum.at(self.iteration)
        if position.level and self.iteration and curriculum.at(self.iteration - 1).level < position.level:
            self._start_level(curriculum.schedule.levels[position.level].resolution)
        if self.config.loss == "denoising":
            drawn, moved = self.batches.noisy_targets(position)
        else:
            self.sampler.load_state_dict(self._effective())
            finest = curriculum.schedule.levels[position.level].resolution
            energy_at = self._energies(self.sampler, finest, position.beta, self.config.bfloat16_up_to)
            drawn, moved = self.batches.chains(position, energy_at)
        target_energy, chain_energy, penalty, moved_all = self._learn(drawn, torch.as_tensor(moved), position)
        progress = Progress(
            self.iteration, total, self.seconds, curriculum.schedule.levels[position.level].resolution,
            position.beta, target_energy, chain_energy, penalty, math.sqrt(moved_all),
        )  # fmt: skip
        if not self.guard.judge(self.iteration, target_energy, chain_energy, progress.change):
            return replace(progress, event=self._roll_back())
        self.iteration += 1
        return progress

    def _learn(self, drawn: list[LevelBatch], moved: Tensor, position: Position) -> tuple[float, float, float, float]:
        """One update on the levels' summed losses.

        Returns target energy, chain energy and penalty of the newest level, and `moved`, over all processes.
        """
        self.optimiser.zero_grad()
        self.energy.train()
        with parametrize.cached():  # one power iteration an update, however often the weights are looked at
            terms = [self._loss(number, batch, position) for number, batch in enumerate(drawn)]
            torch.stack([term.loss for term in terms]).sum().backward()
        newest = terms[-1]
        figures = torch.stack([newest.target_energy, newest.chain_energy, newest.penalty, moved.to(self.device)])
        figures = figures.detach()
        gradients = [p.grad for p in self.energy.parameters() if p.grad is not None]
        self.world.average([*gradients, figures])
        for group in self.optimiser.param_groups:
            group["lr"] = self.guard.caution * self.config.curriculum.learning_rate(self.iteration)
        steepness = torch.nn.utils.clip_grad_norm_(self.energy.parameters(), self.config.gradient_clip)
        if not torch.isfinite(steepness):
            return math.nan, math.nan, math.nan, math.nan
        self.optimiser.step()
        self._update_average()
        target_energy, chain_energy, penalty, moved_all = figures.tolist()
        return target_energy, chain_energy, penalty, moved_all

    def _loss(self, number: int, batch: LevelBatch, position: Position) -> LossTerms:
        resolution = batch.level.resolution
        beta = position.beta if number == position.level else 1.0
        if batch.sigma is not None:
            energy = self.energy.at(resolution, beta)
            return denoising_loss(energy, batch.target, batch.end, batch.sigma, batch.level.denoise_scale)
        # The penalty costs half of an update; at every few with that much more weight it does the same (Karras et al.,
        # "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020).
        every = self.config.r1_every
        weight = every * self.config.curriculum.phases[number].r1_weight if self.iteration % every == 0 else 0.0
        kind = self.config.loss
        return adversarial_loss(self.energy, batch.target, batch.end, resolution, beta, kind=kind, r1_weight=weight)

    @torch.no_grad()
    def _update_average(self) -> None:
        # The average of few updates must not remember the random start.
        decay = min(self.config.ema, (1 + self.iteration) / (10 + self.iteration))
        weights = self._effective()
        for name, value in self.average.state_dict().items():
            value.lerp_(weights[name], 1 - decay)

    def _start_level(self, resolution: int) -> None:
        self.energy.start_level(resolution)
        self.average.start_level(resolution)

    def _roll_back(self) -> str:
        blown, good = self.iteration, self.guard.good
        if self.guard.exhausted:
            self._restore(good)
            raise Diverged(
                f"training keeps blowing up, now after iteration {self.iteration}, whatever state it goes back to; "
                "try a smaller learning rate or a larger penalty"
            )
        self._restore(without_random(good))
        return f"blew up at iteration {blown}, rolled back to {self.iteration}"

    def _energies(self, network: Energy, finest: int, beta: float, bfloat16_up_to: int) -> Callable[[int], EnergyFn]:
        def energy_at(resolution: int) -> EnergyFn:
            energy = network.at(resolution, beta if resolution == finest else 1.0)

            def in_bfloat16(x: Tensor) -> Tensor:
                with torch.autocast(self.device.type, torch.bfloat16):
                    return energy(x).float()

            return in_bfloat16 if resolution <= bfloat16_up_to else energy

        return energy_at

    def _network(self) -> PixelEnergy | PerceptualEnergy:
        network = build(self.config.energy, self.device)
        assert isinstance(network, PixelEnergy | PerceptualEnergy), "statistics are fitted, not trained"
        return network

    def _effective(self) -> dict[str, Tensor]:
        self.energy.eval()  # looking at the weights must not turn the power iteration on
        return effective_weights(self.energy)

    # What is measured before ----------------------------------------------------------------------------------------

    def _measured(self) -> list[Tensor]:
        """Training pictures that features are standardised by, half of them sources."""
        count, size = MEASURED
        domains = [self.target] if self.source is None else [self.target, self.source]
        finest = self.config.curriculum.schedule.finest
        drawn = [d.batch(size, finest) for d in domains for _ in range(count)]
        return [x.to(self.device).contiguous(memory_format=torch.channels_last) for x in drawn]

    def _fitted_probe(self) -> DomainProbe | None:
        """The probe of the two domains, for a gate and for the domain check; without a source, of the target and of
        blends of its pictures, for telling what is unusual."""
        if self.source is None:
            return None
        target = [x.to(self.device) for x in self.target.whole(PROBE_SIDE)]
        trunk = load_trunk(device=self.device)
        if self.given is None:
            return fit_probe(target, [blended(batch) for batch in target], trunk)
        return fit_probe([x.to(self.device) for x in self.given.whole(PROBE_SIDE)], target, trunk)

    def _fitted_palette(self) -> Palette | None:
        """The colours of the target's things, for schedules that go to them."""
        if self.given is None or self.probe is None or not self.config.curriculum.schedule.palette:
            return None
        return fit_palette((x.to(self.device) for x in self.target.whole(PROBE_SIDE)), self.probe).to(self.device)

    def _fitted_transport(self) -> Transport | None:
        """From source to target, for schedules that begin with one."""
        if self.given is None or not self.config.curriculum.schedule.transport:
            return None
        return transport_of(self.given, self.target, self.config.sample_size, self.config.seed).on(self.device)

    # What stays ------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Tensor]:
        """A copy of the whole training state as named tensors."""
        return capture(self.energy, self.average, self.optimiser, self.iteration)

    def _restore(self, state: Mapping[str, Tensor]) -> None:
        self.iteration = restore(state, self.energy, self.average, self.optimiser)

    def save(self) -> None:
        """Write state, model and log, each whole or not at all."""
        if not self.world.is_main:
            return
        tensors = {f"now.{k}": v for k, v in self.state().items()}
        for age, state in enumerate(reversed(self.guard.states)):
            tensors |= {f"good-{age}.{k}": v for k, v in state.items()}
        save_state(
            self.run_dir / STATE, tensors,
            {
                "config": asdict(self.config), "names": self.names, "data": self._data(),
                "seconds": self.seconds, "guard": self.guard.counts, "rows": len(self.log.rows),
                "step_sizes": self.batches.step_sizes,
            },
        )  # fmt: skip
        self.model().save(self.run_dir / FILE_NAME)
        self.log.write(self.run_dir / LOG)

    def model(self) -> Model:
        """The averaged model as it stands: the levels that are wholly faded in."""
        schedule = self.ready_schedule()
        shape = self.config.energy.up_to(schedule.finest)
        # A blow-up that the guard has not seen yet must not reach the model that people use.
        sane = all(bool(torch.isfinite(v).all()) for v in self.average.state_dict().values())
        average = self.average.state_dict() if sane else part(self.guard.good, "average.")
        with torch.random.fork_rng(devices=[]):  # building draws random weights, which the training must not notice
            energy = build(shape, self.device)
        energy.load_state_dict({name: average[name] for name in energy.state_dict()})
        if self.texture is not None and schedule.finest in self.texture.resolutions:
            assert isinstance(energy, PerceptualEnergy)
            energy = TexturedEnergy(energy, self.texture)
        config = ModelConfig(
            energy=energy.config, schedule=schedule, strength=self.config.strength,
            source=self.names[0], target=self.names[1], upsampling=self.config.upsampling,
            trained={"iterations": self.iteration, "seconds": round(self.seconds), "seed": self.config.seed},
        )  # fmt: skip
        beside = self.probe, self.density, self.transport, self.palette
        return Model(energy.eval().requires_grad_(False), config, *beside)

    def ready_schedule(self) -> Schedule:
        """The levels that are wholly faded in, as they are at use."""
        position = self.config.curriculum.at(max(0, self.iteration - 1))
        return self.config.at_use(self.batches.schedule(position.level if position.beta >= 1 else position.level - 1))

    def _load(self) -> None:
        path = self.run_dir / STATE
        if not path.exists():
            raise FileNotFoundError(f"{self.run_dir} holds no run to resume")
        tensors, meta = load_state(path)
        if not {"config", "data", "rows"} <= meta.keys():
            raise BadModel(f"{path.name} is not a whole training state")
        if not same_settings(meta["config"], self.config):
            raise ValueError(f"{self.run_dir} was started with other settings; resume it with the same ones")
        if meta["data"] != self._data():
            raise ValueError(f"{self.run_dir} was started with other pictures; resume it with the same folders")
        try:
            self._restore(part(tensors, "now."))
            self.guard = Guard(
                [state for age in reversed(range(KEPT)) if (state := part(tensors, f"good-{age}."))], **meta["guard"]
            )
            self.batches.step_sizes = {int(key): float(value) for key, value in meta["step_sizes"].items()}
            self.seconds, self.names = meta["seconds"], tuple(meta["names"])
        except (KeyError, IndexError, RuntimeError) as error:
            raise BadModel(f"{path.name} is not a whole training state") from error
        self.log.read(self.run_dir / LOG, meta["rows"])

    def _data(self) -> list[str | None]:
        return [domain.digest if domain is not None else None for domain in (self.target, self.given)]

    # What it looks like ----------------------------------------------------------------------------------------------

    def samples(self, count: int) -> tuple[Tensor | None, Tensor]:
        """Fixed sources, or samples of the density, and what the averaged model makes of them: (N, 3, S, S) in [-1, 1],
        N up to `count`.

        S is the config's sample_size; the change of a chain that does not reach so far yet is enlarged to it. For
        chains from noise the first is None, the noise is fixed and the pictures themselves are enlarged.
        """
        sources = None if self.shown is None else self.shown.first(count, self.config.sample_size)
        if sources is None:
            return None, from_noise(self.model(), count, self.config.sample_size, seed=self.config.seed)
        return sources, translated(self.model(), sources, seed=self.config.seed)

    def _look(self, progress: Progress, measure: Measure | None) -> Progress:
        """Sheet, checkpoint and figures of the averaged model. The main process looks, others wait at the next update.
        Whatever this draws, the training goes on as if nobody had looked."""
        if not self.world.is_main:
            return progress
        with torch.random.fork_rng(devices=[]):
            sources, made = self.samples(SHOWN if measure is None else JUDGED)
            figures = None if measure is None else measure(made)
        sheet, model, measured = self._write_sheet(sources, made), self.model(), self.log.measured()
        if figures is not None:
            measured[self.iteration] = figures
            progress = replace(progress, **figures._asdict())
            trained: dict[str, Any] = {**model.config.trained, "kid_x100": round(figures.kid, 2), "rate": figures.rate}
            model = replace(model, config=replace(model.config, trained=trained))
        model.save(self.checkpoints.path(self.iteration))
        self.checkpoints.drop(self.iteration, measured)
        return replace(progress, sheet=sheet)

    def _looks_at(self, iteration: int) -> bool:
        return iteration % self.config.sheet_every == 0

    def _leave_sheet(self) -> None:
        """The sheet of a model that training stops at, without the rest of `_look`: somebody waits for the end."""
        if self.world.is_main and not self._looks_at(self.iteration):
            with torch.random.fork_rng(devices=[]):
                self._write_sheet(*self.samples(SHOWN))

    def _write_sheet(self, sources: Tensor | None, made: Tensor) -> Path:
        rows = [made[:SHOWN]] if sources is None else [sources[:SHOWN], made[:SHOWN]]
        sheet = self.run_dir / SAMPLES / f"{self.iteration:06d}.png"
        write_sheet(sheet, torch.cat(rows), columns=len(rows[0]))
        return sheet
