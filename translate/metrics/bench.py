"""Everything about a set of pictures that does not change from one result set to the next, measured once.

bench = Bench.prepare(sources, targets, train_sources, train_targets, load_networks())
bench.measure([translate(picture) for picture in bench.sources])
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from PIL import Image
from torch import Tensor

from translate.metrics.distances import fid, kid, parts, spread, white_change
from translate.metrics.networks import INCEPTION, Network, as_tensor
from translate.metrics.pairs import FEWEST, to_square
from translate.metrics.rate import DomainClassifier, Rate
from translate.metrics.recolouring import Recolouring
from translate.metrics.squeezenet import Lpips

Picture = Image.Image
FEW = 50  # fewer pictures than this give a KID that says little
ENOUGH_FOR_FID = 2048  # with fewer pictures than features FID mostly measures how many pictures there are


@dataclass(frozen=True)
class Judged:
    """What one network says of a result set. kid_x100, kid_sd: against all targets, lower is better, and its
    standard error. fid: by Inception alone. rate: share in the target domain, with its interval."""

    kid_x100: float
    kid_sd: float
    fid: float | None
    rate: Rate


@dataclass(frozen=True)
class Figures:
    """One row. networks: by name. content: mean LPIPS distance to the source, None where its weights cannot be had.
    white: mean change of near-white source pixels in levels of 255 (None if there are none). n: pictures."""

    networks: Mapping[str, Judged]
    content: float | None
    white: float | None
    n: int


@dataclass(frozen=True)
class _Side:
    """One network, and what it knows of the target. unit: what its features are divided by."""

    network: Network
    target: Tensor
    unit: float
    classifier: DomainClassifier


@dataclass(frozen=True)
class Bench:
    """sources: the pictures to translate, size x size. notes: what a reader must know."""

    sources: tuple[Picture, ...]
    size: int
    recolouring: Recolouring
    lpips: Lpips | None
    notes: tuple[str, ...]
    sides: tuple[_Side, ...]

    @classmethod
    def prepare(
        cls,
        sources: Iterable[Picture],
        targets: Iterable[Picture],
        train_sources: Iterable[Picture] | None,
        train_targets: Iterable[Picture] | None,
        networks: Sequence[Network],
        lpips: Lpips | None = None,
        size: int = 256,
    ) -> Bench:
        """Without training pictures of both domains the classifier is fitted on sources and targets, with a note.

        Raises ValueError below FEWEST sources or targets.
        """
        own = tuple(to_square(picture, size) for picture in sources)
        wanted = [to_square(picture, size) for picture in targets]
        for pictures, side in ((own, "source"), (wanted, "target")):
            if len(pictures) < FEWEST:
                raise ValueError(f"measuring needs at least {FEWEST} {side} pictures, not {len(pictures)}")
        before, after = as_tensor(own), as_tensor(wanted)
        trained = train_sources is not None and train_targets is not None
        palette = [to_square(picture, size) for picture in train_targets or ()] if trained else wanted
        fit_a = as_tensor([to_square(picture, size) for picture in train_sources or ()]) if trained else before
        fit_b = as_tensor(palette) if trained else after
        sides = []
        for network in networks:
            target = network.features(after)
            unit = spread(target) if network.by_spread else 1.0
            learned = (
                (network.features(fit_a), network.features(fit_b)) if trained else (network.features(before), target)
            )
            sides.append(_Side(network, target, unit, DomainClassifier.fit(*learned)))
        notes = [*map(_note, sides)]
        if (fewest := min(len(own), len(wanted))) < FEW:
            notes.append(f"With only {fewest} pictures a KID is mostly noise: take {FEW} or more on either side.")
        if lpips is None:
            notes.append("No content distance: LPIPS needs the weights of SqueezeNet 1.1.")
        if not trained:
            notes.append(
                "The rate's classifier was fitted on the measured sources and targets themselves, "
                "for want of training pictures of both domains: do not compare this rate with others."
            )
        if fewest < ENOUGH_FOR_FID and any(network.name == INCEPTION for network in networks):
            notes.append(f"FID of fewer than {ENOUGH_FOR_FID} pictures does not compare with papers; KID does.")
        return cls(own, size, Recolouring.towards(palette), lpips, tuple(notes), tuple(sides))

    def measure(self, outputs: Iterable[Picture]) -> Figures:
        """Outputs against the sources, in the same order. Raises ValueError where there are more or fewer."""
        after = self._tensor(outputs)
        before = as_tensor(self.sources)
        judged = {}
        for side in self.sides:
            found = side.network.features(after)
            distance = kid(found, side.target, side.unit)
            judged[side.network.name] = Judged(
                kid_x100=distance.value,
                kid_sd=distance.sd,
                fid=fid(found, side.target) if side.network.name == INCEPTION else None,
                rate=side.classifier.rate(found),
            )
        content = None if self.lpips is None else float(self.lpips(before, after).mean())
        return Figures(judged, content, white_change(before.numpy(), after.numpy()), len(after))

    def parts(self, outputs: Iterable[Picture]) -> Tensor:
        """Each output's own part in the KID by the first network, (N,): the worst are the highest."""
        side = self.sides[0]
        return parts(side.network.features(self._tensor(outputs)), side.target, side.unit)

    def _tensor(self, outputs: Iterable[Picture]) -> Tensor:
        found = [to_square(picture, self.size) for picture in outputs]
        if len(found) != len(self.sources):
            raise ValueError(f"{len(found)} outputs cannot be compared with {len(self.sources)} sources")
        return as_tensor(found)


def _note(side: _Side) -> str:
    by = f"{side.unit:.4g}, the target's spread" if side.network.by_spread else "nothing, as in papers"
    right = side.classifier.accuracy
    known = "" if right is None else f"; its classifier is right about {right:.0%} of unseen training pictures"
    return f"{side.network.title}: features divided by {by}, in all rows{known}."
