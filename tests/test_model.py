"""Models and their files: exact, whole, and refused with a sentence where they are not ours."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from models import config as configs
from models.atomic import write_whole
from models.config import FORMAT, ModelConfig, Upsampling
from models.errors import BadModel
from models.fingerprint import fingerprint
from models.model import KEY, MAX_BYTES, Model, build, digest, load_config, load_state, save_state
from models.registry import card, locate, shipped
from models.schedule import Level, Schedule
from models.terms.pixels import PixelConfig
from models.terms.statistics import StatisticsConfig
from models.terms.textured import TexturedConfig
from models.terms.trunk import load_trunk
from models.terms.votes import VotesConfig
from tests.helpers import RED, STATISTICS, VOTES, disc_probe, discs, random_pictures, statistics_energy, votes_energy

PIXELS = PixelConfig(coarsest=16, finest=32, width=8, max_width=16)
LEVELS = (
    Level(32, 2, step_rms=0.03, luma=((2, 1.0),), chroma=((4, 0.5),), jitter=2),
    Level(64, 3, momentum=0.8, step_rms=0.02),
)


def pixel_model() -> Model:
    torch.manual_seed(0)
    config = ModelConfig(PIXELS, Schedule((Level(16, 4), Level(32, 3))), 0.8, "noise", "nothing")
    return Model(build(PIXELS).eval().requires_grad_(False), config)


def votes_model() -> Model:
    config = ModelConfig(
        VOTES, Schedule(LEVELS, gate=0.25), source="red", target="blue", upsampling=Upsampling(chroma=0.0, epsilon=0.1),
        trained={"iterations": 5},
    )  # fmt: skip
    return Model(votes_energy(), config, disc_probe())


def statistics_model() -> Model:
    return Model(statistics_energy(), ModelConfig(STATISTICS, Schedule(LEVELS, white_point=10.0), source="photos"))


KINDS = {"pixels": pixel_model, "votes": votes_model, "statistics": statistics_model}


@pytest.fixture(scope="module", params=KINDS)
def model(request: pytest.FixtureRequest) -> Model:
    """One of every kind."""
    return KINDS[request.param]()  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the smallest one."""
    path = tmp_path_factory.mktemp("tiny") / "tiny.safetensors"
    pixel_model().save(path)
    return path


@pytest.fixture(scope="module")
def on_trunk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of one that reads the trunk, with a probe."""
    path = tmp_path_factory.mktemp("trunk") / "votes.safetensors"
    votes_model().save(path)
    return path


def outputs(model: Model) -> list[Tensor]:
    """All that a model says about some pictures."""
    x = random_pictures(2, 64, seed=3)
    finest = model.config.schedule.finest
    x = x[..., :finest, :finest].contiguous()
    found = [model.energy.at(finest)(x), model.energy.map(x, finest)]
    return found if model.probe is None else [*found, model.probe.votes(x), model.probe.evidence(x)]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_model_comes_back_from_its_file(model: Model, tmp_path: Path) -> None:
    """Exactly from scratch, to float16 else; and what was read is written exactly as it was."""
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    model.save(first)
    once = Model.load(first)
    exact = isinstance(model.config.energy, PixelConfig)
    for name, value in model.energy.state_dict().items():
        wanted = value if exact or not value.ndim else value.half().float()
        assert torch.equal(once.energy.state_dict()[name], wanted)
    for before, after in zip(outputs(model), outputs(once), strict=True):
        torch.testing.assert_close(after, before, rtol=1e-2, atol=1e-2 * float(before.abs().max()))
    once.save(second)
    assert second.read_bytes() == first.read_bytes()
    twice = Model.load(second)
    assert same(outputs(once), outputs(twice))
    assert twice.config == once.config
    assert twice.digest == once.digest == digest(first) != ""
    assert not once.energy.training and not any(p.requires_grad for p in once.energy.parameters())
    assert (once.probe is None) == (model.probe is None)


def test_the_file_says_what_the_model_needs(model: Model, tmp_path: Path) -> None:
    model.save(tmp_path / "m.safetensors")
    config = load_config(tmp_path / "m.safetensors")
    assert config.probe == (model.probe is not None)
    assert config.trunk == ("" if isinstance(config.energy, PixelConfig) else load_trunk().digest)
    assert replace(config, trunk="", probe=False) == replace(model.config, trunk="", probe=False)


def test_a_probe_beside_an_energy_from_scratch_names_its_trunk_too(tmp_path: Path) -> None:
    model = replace(pixel_model(), probe=disc_probe())
    model.save(tmp_path / "m.safetensors")
    loaded = Model.load(tmp_path / "m.safetensors")
    assert loaded.config.trunk == load_trunk().digest
    assert loaded.probe is not None and model.probe is not None
    x = discs(4, RED, seed=9)[0]
    assert loaded.probe.accepts(x) == model.probe.accepts(x)


def test_bytes_are_the_file_and_lead_back(model: Model, tmp_path: Path) -> None:
    model.save(tmp_path / "m.safetensors")
    content = model.to_bytes()
    assert content == (tmp_path / "m.safetensors").read_bytes()
    again, loaded = Model.from_bytes(content), Model.load(tmp_path / "m.safetensors")
    assert again.config == loaded.config and again.digest == loaded.digest
    assert same(outputs(again), outputs(loaded))
    assert again.to_bytes() == content


def test_a_model_sent_to_a_worker_gives_the_same(model: Model) -> None:
    sent = pickle.loads(pickle.dumps(model))
    assert same(outputs(sent), outputs(model))
    assert sent.config == model.config


def test_on_its_own_device_a_model_is_itself(model: Model) -> None:
    assert model.device == torch.device("cpu")
    assert model.to(torch.device("cpu")) is model


def test_numbers_beyond_float16_survive(tmp_path: Path) -> None:
    """The spread of one painting's Gram matrices is one."""
    config = replace(STATISTICS, paintings=1, taps=(0, 10))
    model = Model(statistics_energy(config), ModelConfig(config, Schedule(LEVELS)))
    spreads = {name: value for name, value in model.energy.state_dict().items() if name.endswith("spread")}
    assert max(spreads.values()) > 65504
    model.save(tmp_path / "m.safetensors")
    loaded = Model.load(tmp_path / "m.safetensors").energy.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in spreads.items())


def test_settings_change_and_the_rest_stays(model: Model) -> None:
    steps = [3] * len(model.config.schedule.levels)
    changed = model.edited(strength=1.5, gate=0.4, palette=0.0, white_point=1.3, steps=steps, source="things")
    assert changed.config == replace(
        model.config, strength=1.5, source="things",
        schedule=replace(
            model.config.schedule, gate=0.4, white_point=1.3,
            levels=tuple(replace(level, steps=3) for level in model.config.schedule.levels),
        ),
    )  # fmt: skip
    assert same(outputs(changed), outputs(model))
    assert model.edited().config == model.config


def test_what_is_finer_can_be_left_out(model: Model, tmp_path: Path) -> None:
    coarse, fine = (level.resolution for level in model.config.schedule.levels)
    small = model.edited(finest=coarse)
    assert small.config.energy.resolutions[-1] == small.config.schedule.finest == coarse
    x = random_pictures(2, coarse, seed=3)
    torch.testing.assert_close(small.energy.at(coarse)(x), model.energy.at(coarse)(x))
    small.save(tmp_path / "small.safetensors")
    model.save(tmp_path / "model.safetensors")
    assert (tmp_path / "small.safetensors").stat().st_size < (tmp_path / "model.safetensors").stat().st_size
    assert Model.load(tmp_path / "small.safetensors").config.schedule.finest == coarse
    assert model.edited(finest=fine).config == model.config


@pytest.mark.parametrize(
    "wrong",
    [{"strength": 3.0}, {"gate": 2.0}, {"palette": 0.5}, {"white_point": 1.0}, {"steps": [1]}, {"steps": [1, -1]},
     {"finest": 128}, {"finest": 8}],
)  # fmt: skip
def test_impossible_changes_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        pixel_model().edited(**wrong)


def test_a_model_without_sources_does_not_come_to_translate() -> None:
    model = pixel_model()
    with pytest.raises(ValueError, match="does not translate"):
        replace(model, config=replace(model.config, source=None)).edited(source="apples")


def test_a_state_comes_back_exactly(tmp_path: Path) -> None:
    tensors = {"a": torch.rand(3), "random": torch.get_rng_state(), "n": torch.tensor(5)}
    save_state(tmp_path / "s.safetensors", tensors, {"seconds": 1.5})
    loaded, meta = load_state(tmp_path / "s.safetensors")
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(tensors[k], loaded[k]) for k in tensors)
    assert meta["seconds"] == 1.5


def test_a_model_is_no_state(tiny: Path) -> None:
    with pytest.raises(BadModel, match="is a model, not a training state"):
        load_state(tiny)


# Configurations ------------------------------------------------------------------------------------------------------

ENERGIES = [
    PIXELS, VotesConfig(), VotesConfig((128,)), VOTES,
    StatisticsConfig(), StatisticsConfig(resolutions=(64, 128)), STATISTICS,
    TexturedConfig(VOTES, replace(STATISTICS, resolutions=(128,))),
]  # fmt: skip


@pytest.mark.parametrize("energy", ENERGIES, ids=lambda energy: energy.kind)
@pytest.mark.parametrize("through", [lambda data: data, lambda data: json.loads(json.dumps(data))], ids=["", "json"])
def test_a_configuration_comes_back_from_its_dictionary(energy: Any, through: Callable[[Any], Any]) -> None:
    """Also where only `kind` tells two of them apart."""
    levels = tuple(replace(LEVELS[0], resolution=r) for r in energy.resolutions)
    config = ModelConfig(
        energy, Schedule(levels, white_point=1.1, gate=0.2), 0.7, None, "Äpfel", Upsampling(radius=9), "abc", True,
        {"iterations": 3, "notes": ["a", None]}, {"noise": {"64": [0.5, 1e-3]}},
    )  # fmt: skip
    read = configs.read(through(configs.as_dict(config)))
    assert read == config
    assert type(read.energy) is type(energy)
    assert all(type(level.steps) is int for level in read.schedule.levels)


def test_a_schedule_beyond_the_energy_is_refused() -> None:
    with pytest.raises(ValueError, match="resolutions that the energy lacks"):
        ModelConfig(PIXELS, Schedule((Level(64),)))


@pytest.mark.parametrize(
    "wrong", [{"luma": 1.1}, {"chroma": -0.1}, {"radius": 0}, {"epsilon": 0}, {"epsilon": float("nan")}]
)
def test_impossible_upsampling_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Upsampling(**wrong)


# Files that are not ours ---------------------------------------------------------------------------------------------


def _meta(path: Path) -> dict[str, Any]:
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()[KEY])  # type: ignore[no-any-return]


def _header(path: Path, to: Path, /, **changes: object) -> Path:
    """A copy of a model file with another header; None takes an entry away."""
    meta = {name: value for name, value in {**_meta(path), **changes}.items() if value is not None}
    save_file(load_file(path), to, {KEY: json.dumps(meta)})
    return to


def _config(path: Path, to: Path, /, **changes: object) -> Path:
    """A copy of a model file with another configuration."""
    return _header(path, to, config={**_meta(path)["config"], **changes})


def _weights(path: Path, to: Path, tensors: dict[str, Tensor]) -> Path:
    """A copy of a model file with other weights, honestly named."""
    meta = {**_meta(path), "weights": fingerprint(tensors)}
    save_file(tensors, to, {KEY: json.dumps(meta)})
    return to


def _refused(path: Path, match: str = ".") -> None:
    with pytest.raises(BadModel, match=match) as caught:
        Model.load(path)
    said = str(caught.value)
    assert path.name in said and said.isprintable() and len(said) < 250


def test_what_is_not_a_model_is_refused_with_a_sentence(tiny: Path, tmp_path: Path) -> None:
    class Mine:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "ran",))

    (tmp_path / "evil.safetensors").write_bytes(pickle.dumps(Mine()))
    torch.save({"a": torch.ones(1)}, tmp_path / "zip.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(tiny.read_bytes()[:-100])
    (tmp_path / "empty.safetensors").write_bytes(b"")
    (tmp_path / "folder.safetensors").mkdir()
    save_file({"a": torch.ones(1)}, tmp_path / "foreign.safetensors")
    save_file({"a": torch.ones(1)}, tmp_path / "text.safetensors", {KEY: "{"})
    save_file({"a": torch.ones(1)}, tmp_path / "deep.safetensors", {KEY: "[" * 100_000})
    save_file({"a": torch.ones(1)}, tmp_path / "list.safetensors", {KEY: "[1, 2]"})
    save_file({"a": torch.ones(1)}, tmp_path / "null.safetensors", {KEY: "null"})
    _header(tiny, tmp_path / "bare.safetensors", config=None)
    _header(tiny, tmp_path / "nameless.safetensors", weights=None)
    save_state(tmp_path / "state.safetensors", {"a": torch.ones(1)}, {})
    names = [path.name for path in tmp_path.iterdir()]
    assert len(names) == 13
    for name in [*names, "absent.safetensors"]:
        _refused(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_other_formats_are_refused_in_a_sentence_that_says_what_to_do(tiny: Path, tmp_path: Path) -> None:
    assert FORMAT == 2
    old = _header(tiny, tmp_path / "old.safetensors", format=1)
    _refused(old, "format 1, of an older cf-translate; train it again")
    for version in (3, 99, -1, "\x1b[2J\n", [2], {"a": 1}, "9" * 10_000, 2.5):
        _refused(_header(tiny, tmp_path / "new.safetensors", format=version), "install a newer cf-translate")


def test_another_trunk_is_refused_in_a_sentence(on_trunk: Path, tmp_path: Path) -> None:
    _refused(_config(on_trunk, tmp_path / "other.safetensors", trunk="0123456789ab"), "trained on another trunk")
    Model.load(_config(on_trunk, tmp_path / "same.safetensors", trunk=load_trunk().digest))


def test_weights_that_are_not_numbers_are_refused(tiny: Path, on_trunk: Path, tmp_path: Path) -> None:
    for path, name in ((tiny, "project.bias"), (on_trunk, "probe.farthest"), (on_trunk, "terms.32.mean0")):
        for wrong in (float("nan"), float("inf")):
            weights = load_file(path)
            weights[name] = torch.full_like(weights[name], wrong)
            _refused(_weights(path, tmp_path / "wrong.safetensors", weights), "not finite")


def test_damaged_weights_are_refused(tiny: Path, on_trunk: Path, tmp_path: Path) -> None:
    for path in (tiny, on_trunk):
        damaged = bytearray(path.read_bytes())
        damaged[-400:-396] = b"\x11\x11\x11\x11"  # finite numbers
        (tmp_path / "damaged.safetensors").write_bytes(damaged)
        _refused(tmp_path / "damaged.safetensors", r"damaged\.safetensors is damaged")


def _energy(**changes: object) -> dict[str, object]:
    return {"energy": {**vars(PIXELS), **changes}}


def _level(**changes: object) -> dict[str, object]:
    return {"schedule": {"levels": [{"resolution": 16, **changes}]}}


@pytest.mark.parametrize(
    "changes",
    [
        _energy(finest=2**4000), _energy(finest=2048), _energy(max_width=1024), _energy(max_width=10**400),
        _energy(width=8.5), _energy(width=[8]), _energy(kind="other"), _energy(kind="votes", taps=[99]),
        _energy(kind=None), {"energy": ["coarsest"]}, {"energy": None}, {"energy": "[" * 100_000},
        {"energy": {"kind": "votes", "resolutions": [16, 32], "width": 10**9}},
        {"energy": {"kind": "votes", "resolutions": [32] * 10}},
        {"energy": {"kind": "statistics", "paintings": 10**9}},
        {"energy": {"kind": "statistics", "resolutions": [32] * 100_000}},
        {"strength": float("nan")}, {"strength": 10**400}, {"strength": 7}, {"strength": []}, {"strength": None},
        {"schedule": {"levels": []}}, {"schedule": []}, {"schedule": {"levels": {"resolution": 16}}},
        {"schedule": {"levels": [{"resolution": 16}], "white_point": float("nan")}},
        {"schedule": {"levels": [{"resolution": 16}], "gate": "wide"}},
        _level(step_size=float("inf")), _level(steps=10**9), _level(resolution="16 px"), _level(luma=[[0, 1]]),
        _level(luma=[[2, float("nan")]]), _level(luma=[[2]]), _level(luma={"2": 1}), _level(smoothing=-1),
        _level(resolution=64),
        {"schedule": {"levels": [{"\x1b[2J\n": 1}]}},
        {"trained": 3}, {"calibration": [1]}, {"upsampling": {"radius": 1e9}}, {"upsampling": 3}, {"source": 3},
        {"target": ["a"]}, {"trunk": 7}, {"probe": "perhaps"},
    ],
    ids=lambda changes: str(changes)[:60],
)  # fmt: skip
def test_a_hostile_configuration_is_one_plain_sentence_before_any_weight_is_read(
    tiny: Path, tmp_path: Path, changes: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    _config(tiny, tmp_path / "evil.safetensors", **changes)
    monkeypatch.setattr(torch, "isfinite", lambda value: pytest.fail("the weights were looked at"))
    _refused(tmp_path / "evil.safetensors", "configuration this version cannot read")


@pytest.mark.parametrize("config", ["[]", "null", "3", '"text"'])
def test_a_configuration_that_is_no_mapping_is_refused(tiny: Path, tmp_path: Path, config: str) -> None:
    meta = {**_meta(tiny), "config": json.loads(config)}
    save_file(load_file(tiny), tmp_path / "evil.safetensors", {KEY: json.dumps(meta)})
    _refused(tmp_path / "evil.safetensors", "configuration this version cannot read")


def test_a_kind_that_is_no_word_is_refused(tiny: Path, tmp_path: Path) -> None:
    _refused(_header(tiny, tmp_path / "evil.safetensors", kind=["model"]))


def test_a_configuration_of_another_network_does_not_fit_the_weights(
    tiny: Path, on_trunk: Path, tmp_path: Path
) -> None:
    _refused(_config(tiny, tmp_path / "wide.safetensors", **_energy(max_width=17)), "do not fit")
    _refused(_config(on_trunk, tmp_path / "bare.safetensors", probe=False), "do not fit")
    weights = {name: value for name, value in load_file(on_trunk).items() if not name.startswith("probe.")}
    _refused(_weights(on_trunk, tmp_path / "less.safetensors", weights), "do not fit")


def test_a_network_that_the_file_lacks_takes_no_memory(on_trunk: Path, tmp_path: Path) -> None:
    """It asks for banks of gigabytes."""
    huge = {"kind": "statistics", "resolutions": [32, 64], "taps": list(range(16)), "paintings": 10_000, "rank": 512}
    _refused(_config(on_trunk, tmp_path / "huge.safetensors", energy=huge), "do not fit")


@pytest.mark.parametrize("how", ["shape", "type", "whole numbers", "more", "fewer", "name"])
def test_tensors_are_compared_before_memory_is_taken_for_them(
    tiny: Path, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = load_file(tiny)
    name = "project.weight"
    if how == "shape":
        weights[name] = torch.ones(1, 1 << 20, 1, 1)
    elif how == "type":
        weights[name] = weights[name].double()
    elif how == "whole numbers":
        weights[name] = weights[name].to(torch.int32)
    elif how == "more":
        weights["../../x"] = torch.ones(1)
    else:
        kept = weights.pop(name)
        if how == "name":
            weights["project\n.weight"] = kept
    _weights(tiny, tmp_path / "evil.safetensors", weights)
    monkeypatch.setattr(torch, "isfinite", lambda value: pytest.fail("the weights were looked at"))
    _refused(tmp_path / "evil.safetensors", "weights")


def test_a_header_that_promises_a_terabyte_is_refused(tmp_path: Path) -> None:
    header = json.dumps({"w": {"dtype": "F32", "shape": [1 << 38], "data_offsets": [0, 1 << 40]}}).encode()
    path = tmp_path / "evil.safetensors"
    for length in (len(header), 1 << 62):
        path.write_bytes(length.to_bytes(8, "little") + header)
        _refused(path, "a safetensors file")


def test_a_file_that_is_too_large_is_not_even_opened(tmp_path: Path) -> None:
    path = tmp_path / "large.safetensors"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)  # takes no room on the disk
    _refused(path, "larger than any model")


def test_names_from_somebody_elses_file_are_plain_and_short(tiny: Path, tmp_path: Path) -> None:
    config = load_config(_config(tiny, tmp_path / "odd.safetensors", source="\x1b[31mred\n---", target="x" * 10_000))
    assert config.source == "[31mred---"
    assert len(config.target) == 100


# Files that are written whole, and names of models -------------------------------------------------------------------


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_whole(path, b"old")

    def fail(handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(KeyboardInterrupt):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(BadModel) as caught:
        locate("pear2plum")
    assert all(name in str(caught.value) for name in shipped())


def test_a_run_folder_is_a_model(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(BadModel, match=r"model\.safetensors"):
        locate(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(tiny.read_bytes())
    assert locate(str(tmp_path)) == tmp_path / "model.safetensors"


@pytest.mark.parametrize("name", shipped())
def test_shipped_models_load_are_small_and_have_a_card(name: str) -> None:
    path = locate(name)
    model = Model.load(path)
    most = {StatisticsConfig: 4, TexturedConfig: 6}.get(type(model.config.energy), 2) + 1.2 * model.config.student
    assert path.stat().st_size <= most * 1_000_000
    assert model.config.schedule.finest >= 64
    text = card(name)
    assert text is not None
    assert digest(path) in text, "the card must be of these very weights"


def test_the_two_main_directions_are_shipped() -> None:
    assert {"apple2orange", "orange2apple"} <= set(shipped())
