"""The transport that chains between aligned things begin with: what it must do to a domain and to one picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from models import framing as framings
from models import silhouette as silhouettes
from models import transport as transports
from models.energy import pooled
from models.model import Model
from models.sampling import ChainState, sample
from models.scene import Scene
from models.schedule import TRANSPORT_STEPS, Level, Schedule
from models.terms.trunk import load_trunk
from models.transport import KEPT, SIDE, Transport, fit_transport
from tests.helpers.busts import busts


def domain(seed: int, count: int = 400, mean: float = 0.0) -> Tensor:
    """Smooth pictures, mixed in a way of the domain's own: (count, 3, SIDE, SIDE) in [-1, 1]."""
    same, own = (torch.Generator().manual_seed(number) for number in (100, seed))
    patterns = torch.randn(12, 3, 4, 4, generator=same)
    patterns = torch.nn.functional.interpolate(patterns + patterns.flip(3), (SIDE, SIDE), mode="bicubic")
    mixed = torch.randn(count, 12, generator=own) @ (0.01 * torch.randn(12, 12, generator=own) + 0.03 * torch.eye(12))
    mixed = mixed * torch.linspace(1 - seed / 2, (1 + seed) / 2, 12)
    return mean + 0.7 * torch.einsum("nk,kchw->nchw", mixed, patterns)


@pytest.fixture(scope="module", autouse=True)
def few_outlines() -> Iterator[None]:
    """The trunk looks at few pictures for what these tests do not ask about."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(silhouettes, "MAX_PICTURES", 8)
        patch.setattr(transports, "OUTLINES", 40)
        patch.setattr(framings, "MAX_PICTURES", 8)
        yield


@pytest.fixture(scope="module")
def transport() -> Transport:
    return fit_transport(domain(0), domain(1, mean=0.2), load_trunk())


def gaussian(transport: Transport, x: Tensor) -> Tensor:
    """Where the Gaussians' transport alone leads."""
    return transport.pictures(transport.coordinates(x))


def test_a_moved_domain_has_the_mean_and_the_covariance_of_the_target(transport: Transport) -> None:
    moved, target = gaussian(transport, domain(0)).flatten(1), domain(1, mean=0.2).flatten(1)
    assert torch.allclose(moved.mean(0), target.mean(0), atol=0.01)
    found, wanted = (torch.cov(x.double().T) for x in (moved, target))
    assert (found - wanted).norm() < 0.1 * wanted.norm()
    assert (torch.cov(domain(0).flatten(1).double().T) - wanted).norm() > wanted.norm()


def test_it_is_the_transport_that_moves_pictures_least(transport: Transport) -> None:
    """A map between Gaussians is optimal where it is a convex function's gradient: symmetric and positive."""
    matrix = transport.get_buffer("matrix")
    used = matrix[: int(matrix.any(1).sum()), : int(matrix.any(1).sum())]
    assert torch.allclose(used, used.T, atol=1e-4) and float(torch.linalg.eigvalsh(used.double()).min()) > 0


def test_a_domain_is_not_moved_onto_itself() -> None:
    x = domain(0)
    assert torch.allclose(gaussian(fit_transport(x, x, load_trunk()), x[:8]), x[:8], atol=0.01)


def test_large_colours_stay_and_shapes_are_what_the_targets_have_in_common(transport: Transport) -> None:
    moved = transport.coordinates(domain(0, 16))
    typical = transport.typical(moved)
    assert torch.equal(typical[:, :KEPT], moved[:, :KEPT])
    lengths = typical[:, KEPT:].norm(dim=1) / moved[:, KEPT:].norm(dim=1)
    assert torch.allclose(lengths, torch.ones_like(lengths), atol=1e-3)
    assert torch.allclose(typical[:1], transport.typical(moved[:1]), atol=1e-5)
    x = domain(0, 16)
    assert torch.allclose(transport(x, typical=False), gaussian(transport, x).clamp(-1, 1), atol=0.02)
    assert torch.allclose(transport(x), transport.pictures(typical).clamp(-1, 1), atol=0.02)


def test_two_kinds_of_targets_are_not_mixed() -> None:
    """A picture like one of two kinds takes the shapes of that kind, which the mean of both has not."""
    x = domain(0)
    shape = 0.5 * torch.randn(3, SIDE, SIDE, generator=torch.Generator().manual_seed(5))
    kinds = torch.cat([x + shape, x - shape])
    transport = fit_transport(kinds, kinds, load_trunk())
    moved = transport.coordinates(0.9 * shape[None] + domain(0, 1))
    apart = transport.coordinates(shape[None])[0] - transport.coordinates(-shape[None])[0]
    assert float(transport.typical(moved)[0] @ apart) > 0.5 * float(moved[0] @ apart) > 0


def test_of_few_pictures_few_directions_are_moved() -> None:
    for count in (1, 3, 20):
        transport = fit_transport(domain(0, count), domain(1, count), load_trunk())
        x = domain(0, 2)
        assert torch.allclose(transport.typical(transport.coordinates(x)), transport.coordinates(x))
        assert transport(x).isfinite().all()
        assert int(transport.get_buffer("basis").flatten(1).any(1).sum()) == max(1, count // 4)


def test_any_shape_is_moved_as_its_squeezed_copy(transport: Transport) -> None:
    x = domain(0, 2)
    wide = torch.nn.functional.interpolate(x, (SIDE, 2 * SIDE), mode="nearest")
    assert torch.allclose(torch.nn.functional.avg_pool2d(transport(wide), (1, 2)), transport(x), atol=0.02)
    assert torch.allclose(transport(x)[:1], transport(x[:1]), atol=1e-3)


def test_a_chain_goes_its_way_straight_and_as_far_as_its_strength(transport: Transport) -> None:
    start = domain(0, 2)
    whole = Schedule((Level(SIDE, steps=0),), transport=1.0)

    def chain(schedule: Schedule) -> list[ChainState]:
        return list(sample(lambda _: lambda x: x.sum((1, 2, 3)), schedule, start, [start], transport=transport))

    states = chain(whole)
    assert [state.index for state in states] == list(range(TRANSPORT_STEPS)) and len(states) == whole.steps
    assert torch.allclose(states[-1].x, Scene.of([start], transport, 1.0).start)
    assert torch.allclose(states[0].energy, start.sum((1, 2, 3)))
    assert torch.allclose(states[3].x, (start + states[-1].x) / 2)
    assert torch.allclose(chain(whole.scaled(0.5))[-1].x, states[3].x) and whole.scaled(2.0).transport == 1.0
    assert not chain(whole.scaled(0.0))


def test_steps_count_on_after_the_transport(transport: Transport) -> None:
    start = domain(0, 1)
    schedule = Schedule((Level(SIDE, steps=2), Level(2 * SIDE, steps=1)), transport=1.0)
    sources = [start, torch.nn.functional.interpolate(start, scale_factor=2)]
    states = list(sample(lambda _: lambda x: x.square().sum((1, 2, 3)), schedule, start, sources, transport=transport))
    assert [state.index for state in states] == [*range(TRANSPORT_STEPS + 2), 0]


def test_the_second_level_begins_with_the_detail_of_examples_and_no_other_does(transport: Transport) -> None:
    schedule = Schedule((Level(SIDE, 0), Level(2 * SIDE, 0), Level(4 * SIDE, 1)), likeness=8.0, transport=1.0)
    generator = torch.Generator().manual_seed(3)
    x = domain(0, 1) + 0.3 * torch.randn(1, 3, SIDE, SIDE, generator=generator)
    sources = [torch.nn.functional.interpolate(x, scale_factor=2**n) for n in range(3)]
    asked: list[int] = []
    plain = transport.detail.forward

    def watched(x: Tensor) -> Tensor:
        asked.append(x.shape[-1])
        return plain(x)

    transport.detail.forward = watched  # type: ignore[method-assign]
    try:
        for chain in (schedule, replace(schedule, transport=0.0)):
            list(sample(lambda _: lambda x: x.square().sum((1, 2, 3)), chain, x, sources, transport=transport))
    finally:
        del transport.detail.forward
    assert asked == [SIDE]


def test_a_new_things_outline_is_that_of_the_target_pictures_like_it() -> None:
    """Busts of two sizes: where a large one is expected, more is filled."""
    targets = torch.cat([busts(40, 0.45, seed=1), busts(40, 0.8, seed=2)])
    transport = fit_transport(busts(40, 0.6, seed=3), targets, load_trunk())
    small, large = (transport.outline(pooled(busts(4, size, seed=4), 4)).mean() for size in (0.45, 0.8))
    assert large > 1.3 * small
    one = transport.outline(pooled(busts(1, 0.8, seed=5), 4))
    assert one[0, 0, 14:20, 14:20].min() > 0.9 and one[0, 0, :3, :3].max() < 0.5


def test_it_travels_in_the_models_file(model_files: dict[str, Path], tmp_path: Path) -> None:
    model = Model.load(model_files["textured"])
    assert model.transport is not None and model.config.transport
    same = Model.from_bytes(model.to_bytes()).transport
    assert same is not None
    for name, value in model.transport.state_dict().items():
        assert torch.equal(same.state_dict()[name], value)
    replace(model, transport=None).save(tmp_path / "without.safetensors")
    assert Model.load(tmp_path / "without.safetensors").transport is None
    assert not Model.load(model_files["generator"]).config.transport
