"""Where a change belongs, and whether a photo is of the source domain at all: a linear probe on the trunk's features.

An energy is a mean over places and has no say in where an object ends: it turns the table orange with the apples. But
tables occur in both domains, apples in one. A linear classifier of pictures on features averaged over places tells,
read place by place, which places speak for a domain (class activation maps: Zhou et al., CVPR 2016).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from models.logistic import fit_logistic
from models.preconditioner import LUMA_CHROMA, tent
from models.terms.trunk import SHAPES, OnTrunk, Trunk

SIDE = 128  # pixels of the short side of the copy that the probe looks at
TAPS = (4, 10, 15)
WIDTHS = tuple(SHAPES[tap].outputs for tap in TAPS)
FEATURES = sum(WIDTHS)
DIRECTIONS = 64  # main directions of the source domain's features, for telling what is of neither domain
RIDGE = 1e-3  # weight decay of the classifier
BACKGROUND = 0.25  # the share of a picture's places that count as background, whatever they say
ACCEPTED = 0.99  # the share of source pictures that the domain check takes for ones
FEWEST = 8  # pictures that tell how far they lie out; with fewer any distance will do
ANY = 6e4  # a distance that float16 can just hold
MARGIN = 1.2  # times: how much farther out than those a picture may lie

COLOR_SIGMA = 0.15  # how far colours may lie apart, on the [-1, 1] scale, to be likely one thing
LARGE = 3 / 32  # of the short side: colours that change over no less are large
GRID = 64  # the gate is found at so many pixels squared, beside a sixteenth as many others


class DomainProbe(OnTrunk):
    """Tells source pictures from target pictures, and both from others. Fitted in seconds, see `fit`."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__(trunk)
        for name, shape in (
            ("mean", (FEATURES,)), ("deviation", (FEATURES,)), ("weight", (FEATURES,)), ("bias", ()),
            ("center", (FEATURES,)), ("basis", (FEATURES, DIRECTIONS)), ("scale", (DIRECTIONS,)), ("rest", ()),
            ("farthest", ()), ("lowest", ()),
        ):  # fmt: skip
            self.register_buffer(name, torch.zeros(shape))

    @torch.no_grad()
    def votes(self, x: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in [-1, 1] -> (B, h, w): above 0 where a place speaks for the source domain."""
        maps = self.trunk(_short_side(x, SIDE), TAPS)
        weights = [self._part("weight", n) / self._part("deviation", n) for n in range(len(TAPS))]
        size = maps[0].shape[-2:]
        total = self.get_buffer("bias").expand(len(x), *size)
        for number, (h, weight) in enumerate(zip(maps, weights, strict=True)):
            votes = torch.einsum("c,bchw->bhw", weight, h - self._part("mean", number).view(1, -1, 1, 1))[:, None]
            total = total + F.interpolate(votes, size, mode="bilinear", align_corners=False)[:, 0]
        return total

    @torch.no_grad()
    def evidence(self, x: Tensor) -> Tensor:
        """How much each pixel shows what the two domains differ in: (B, 3, H, W) -> (B, 1, H, W), 0 or more.

        The strength of its place's vote, for either domain, beyond that of the background. A green apple may speak for
        oranges, but it speaks.
        """
        told = self.votes(x).abs()
        background = told.flatten(1).quantile(BACKGROUND, dim=1).view(-1, 1, 1)
        beyond = (told - background).clamp(min=0).unsqueeze(1)
        return F.interpolate(beyond, x.shape[-2:], mode="bilinear", align_corners=False)

    def evidence_at(self, sources: Sequence[Tensor]) -> list[Tensor]:
        """The evidence of the finest of pictures at several resolutions, coarse to fine, at each of these."""
        finest = self.evidence(sources[-1])
        return [F.interpolate(finest, x.shape[-2:], mode="area") for x in sources]

    @torch.no_grad()
    def accepts(self, x: Tensor) -> list[bool]:
        """Whether pictures (B, 3, H, W) look like the source domain: neither like the target, nor like nothing seen."""
        pooled = self.features(x)
        logit, distance = self._logit(pooled), self._distance(pooled)
        return ((logit >= self.get_buffer("lowest")) & (distance <= self.get_buffer("farthest"))).tolist()

    @torch.no_grad()
    def measure(self, x: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) -> (B, 2): the logarithm of how far they lie from the source domain, and how firmly
        they are taken for the other one. Both grow with what is unusual."""
        pooled = self.features(x)
        return torch.stack([self._distance(pooled).clamp(min=1e-6).log(), -self._logit(pooled)], 1)

    @torch.no_grad()
    def features(self, x: Tensor) -> Tensor:
        """The trunk's features averaged over places: (B, FEATURES)."""
        return torch.cat([h.mean((2, 3)) for h in self.trunk(_short_side(x, SIDE), TAPS)], 1)

    def fit(self, source: Tensor, target: Tensor) -> None:
        """Fit to `features` of training pictures of both domains, (N, FEATURES) and (M, FEATURES)."""
        both = torch.cat([source, target])
        self._set("mean", both.mean(0))
        self._set("deviation", both.std(0) + 1e-3)
        inputs = (both - self.get_buffer("mean")) / self.get_buffer("deviation")
        weight, bias = fit_logistic(inputs, torch.arange(len(both), device=both.device) < len(source), RIDGE)
        self._set("weight", weight)
        self._set("bias", bias)
        self._fit_distance(source)

    def _fit_distance(self, source: Tensor) -> None:
        """A Gaussian with up to DIRECTIONS own variances and one for the rest (probabilistic PCA: Tipping & Bishop,
        1999). How far pictures may lie out is read from a quarter of them that it was not fitted to: those that it was
        fitted to lie far nearer, the more so the fewer they are."""
        held_out = torch.arange(len(source), device=source.device) % 4 == 0
        few = len(source) < FEWEST
        fitted = source if few else source[~held_out]
        center = fitted.mean(0)
        _, sizes, directions = torch.linalg.svd((fitted - center) / self.get_buffer("deviation"), full_matrices=False)
        # A quarter of the directions there are: what the others hold tells how much there is beyond.
        kept = min(DIRECTIONS, len(fitted) // 4)
        variances = sizes.square() / max(1, len(fitted) - 1)
        rest = variances[kept:].sum() / (FEATURES - kept)
        self._set("center", center)
        self._set("basis", F.pad(directions[:kept].T, (0, DIRECTIONS - kept)))
        self._set("scale", F.pad(variances[:kept], (0, DIRECTIONS - kept), value=1.0).clamp(min=1e-6))
        self._set("rest", rest.clamp(min=1e-3))
        farthest = MARGIN * self._distance(source[held_out]).quantile(ACCEPTED)
        self._set("farthest", torch.full_like(farthest, ANY) if few else farthest.clamp(max=ANY))
        self._set("lowest", self._logit(source).quantile(1 - ACCEPTED).clamp(max=0.0))

    def _logit(self, pooled: Tensor) -> Tensor:
        standard = (pooled - self.get_buffer("mean")) / self.get_buffer("deviation")
        return standard @ self.get_buffer("weight") + self.get_buffer("bias")

    def _distance(self, pooled: Tensor) -> Tensor:
        standard = (pooled - self.get_buffer("center")) / self.get_buffer("deviation")
        along = standard @ self.get_buffer("basis")
        beyond = (standard.square().sum(1) - along.square().sum(1)).clamp(min=0)
        return (along.square() / self.get_buffer("scale")).sum(1) + beyond / self.get_buffer("rest")

    def _part(self, name: str, number: int) -> Tensor:
        return self.get_buffer(name).split(WIDTHS)[number]

    def _set(self, name: str, value: Tensor) -> None:
        self._buffers[name] = value.to(self.get_buffer(name)).reshape(self.get_buffer(name).shape).clone()


def gate_change(source: Tensor, state: Tensor, gate: float, evidence: Tensor | None = None) -> Tensor:
    """The state with its change from the source kept where that is strong, and dropped where it is faint beside it.

    source, state, gate, evidence: see `strong`; a gate of 0 keeps all.
    """
    return source + strong(source, state, gate, evidence) * (state - source) if gate else state


def strong(source: Tensor, state: Tensor, gate: float, evidence: Tensor | None = None) -> Tensor:
    """How strong the change from source to state is at each place, beside the strongest: (B, 1, H, W) in [0, 1].

    source, state: (B, 3, H, W) in [-1, 1]; gate: 0..1; evidence: (B, 1, H, W), 0 or more, how much a pixel counts, see
    DomainProbe; without it all count the same. What is of one colour is of one thing: with m the mean of evidence x the
    square of the change over all pixels like this one (a Gaussian in colour, COLOR_SIGMA wide: Tomasi & Manduchi, ICCV
    1998, without a bound in space) and M the 95 % quantile of evidence x the square of the change, it is
    m^2 / (m^2 + (gate^2 M)^2). It is all found on small copies, for it to be smooth, and quick.
    """
    moved = (state - source).square().mean(dim=1, keepdim=True)
    if evidence is not None:
        moved = moved * evidence
    most = gate**2 * moved.flatten(1).quantile(0.95, dim=1).view(-1, 1, 1)
    coarse, fine = (_copy(torch.cat([source, moved], 1), side) for side in (GRID // 4, GRID))
    asked, known = fine[:, :3].flatten(2).mT, coarse.flatten(2)  # (B, places, 3) and (B, 4, places)
    color = known[:, :3]
    # Softmax of -|asked - color|^2 / (2 COLOR_SIGMA^2), but for |asked|^2, which it does not see.
    alike = torch.softmax((asked @ color - color.square().sum(1, keepdim=True) / 2) / COLOR_SIGMA**2, dim=2)
    mean = alike @ known[:, 3:].mT
    scale = mean.square() / (mean.square() + most.square()).clamp(min=1e-12)
    scale = scale.mT.unflatten(2, fine.shape[-2:])
    return F.interpolate(scale, source.shape[-2:], mode="bilinear", align_corners=False)


def keep_colors(source: Tensor, state: Tensor, share: float) -> Tensor:
    """The state with `share`, 0..1, of the source's own large colours: (B, 3, H, W) in [-1, 1].

    A style lays patches of foreign colour on a scene whose like is not among the paintings. The chroma of the change,
    averaged by a tent of LARGE of the short side each way, is taken back by that share; its luma and its fine colours,
    which are the strokes, stay.
    """
    if not share:
        return state
    axes = LUMA_CHROMA.to(state)
    chroma = torch.einsum("oc,bchw->bohw", axes, state - source)[:, 1:]
    window = max(1, round(LARGE * min(state.shape[-2:])))
    large = tent(chroma, window) / tent(torch.ones_like(chroma), window)
    return (state - share * torch.einsum("oc,bohw->bchw", axes[1:], large)).clamp(-1, 1)


def fit_probe(source: Sequence[Tensor], target: Sequence[Tensor], trunk: Trunk) -> DomainProbe:
    """A probe of two domains, from batches of training pictures (B, 3, H, W) of each."""
    probe = DomainProbe(trunk).to(source[0].device)
    features = [torch.cat([probe.features(batch) for batch in domain]) for domain in (source, target)]
    probe.fit(*features)
    return probe


def blended(x: Tensor) -> Tensor:
    """Each picture of a batch (B, 3, H, W) blended with the mirror image of another one, 30 to 70 % of either: what
    lies between pictures and is none."""
    share = torch.linspace(0.3, 0.7, len(x)).to(x).view(-1, 1, 1, 1)
    return share * x + (1 - share) * x.roll(1, 0).flip(3)


def _short_side(x: Tensor, side: int) -> Tensor:
    """Pictures scaled to a short side of `side` px."""
    scale = side / min(x.shape[-2:])
    if scale == 1:
        return x
    size = [max(1, round(scale * length)) for length in x.shape[-2:]]
    return F.interpolate(x, size, mode="bilinear", antialias=True, align_corners=False)


def _copy(x: Tensor, side: int) -> Tensor:
    """x (B, C, H, W), reduced to some side^2 pixels where it has more."""
    height, width = x.shape[-2:]
    factor = min(1.0, side / math.sqrt(height * width))
    return F.interpolate(x, (max(1, round(factor * height)), max(1, round(factor * width))), mode="area")
