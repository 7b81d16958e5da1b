"""Files: exact, whole, and refused with a sentence where they are not ours."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from models.checkpoint import (
    KEY,
    MAX_BYTES,
    BadModel,
    digest,
    load_config,
    load_model,
    load_state,
    save_model,
    save_state,
    write_whole,
)
from models.zoo import card, locate, shipped


def test_a_model_comes_back_exactly(tiny_model: Path, tmp_path: Path) -> None:
    energy, config = load_model(tiny_model)
    again = tmp_path / "again.safetensors"
    save_model(again, energy.state_dict(), config)
    loaded, loaded_config = load_model(again)
    assert loaded_config == config
    assert all(torch.equal(a, b) for a, b in zip(energy.parameters(), loaded.parameters(), strict=True))
    assert again.read_bytes() == tiny_model.read_bytes()
    assert digest(again) == digest(tiny_model)


def test_a_state_comes_back_exactly(tmp_path: Path) -> None:
    tensors = {"a": torch.rand(3), "random": torch.get_rng_state(), "n": torch.tensor(5)}
    save_state(tmp_path / "s.safetensors", tensors, {"seconds": 1.5})
    loaded, meta = load_state(tmp_path / "s.safetensors")
    assert all(torch.equal(tensors[k], loaded[k]) for k in tensors)
    assert meta["seconds"] == 1.5


def _header(path: Path, to: Path, /, **changes: object) -> Path:
    """A copy of a model file with another header."""
    with safe_open(path, "pt") as file:
        meta = json.loads(file.metadata()[KEY])
    save_file(load_file(path), to, {KEY: json.dumps({**meta, **changes})})
    return to


def test_what_is_not_a_model_is_refused_with_a_sentence(tiny_model: Path, tmp_path: Path) -> None:
    class Mine:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    (tmp_path / "evil.safetensors").write_bytes(pickle.dumps(Mine()))
    torch.save({"a": torch.ones(1)}, tmp_path / "zip.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(tiny_model.read_bytes()[:-100])
    (tmp_path / "empty.safetensors").write_bytes(b"")
    save_file({"a": torch.ones(1)}, tmp_path / "foreign.safetensors")
    weights = load_file(tiny_model)
    save_file(dict(list(weights.items())[1:]), tmp_path / "missing.safetensors")
    _header(tiny_model, tmp_path / "future.safetensors", format=99)
    _header(tiny_model, tmp_path / "odd.safetensors", strength=7)
    _header(tiny_model, tmp_path / "huge.safetensors", network={"coarsest": 16, "finest": 32, "width": 8, "widest": 17})
    _header(tiny_model, tmp_path / "strange.safetensors", network={"depth": 3})
    _header(tiny_model, tmp_path / "deep.safetensors", network="[" * 100_000)
    _header(tiny_model, tmp_path / "vast.safetensors", network={"widest": 2_000_000})
    _header(tiny_model, tmp_path / "half.safetensors", network={"width": 8.5})
    save_state(tmp_path / "state.safetensors", {"a": torch.ones(1)}, {})
    names = [
        "evil",
        "zip",
        "cut",
        "empty",
        "foreign",
        "missing",
        "future",
        "odd",
        "huge",
        "strange",
        "state",
        "absent",
        "deep",
        "vast",
        "half",
    ]
    for name in names:
        with pytest.raises(BadModel) as caught:
            load_model(tmp_path / f"{name}.safetensors")
        assert f"{name}.safetensors" in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_weights_that_are_not_numbers_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    energy, config = load_model(tiny_model)
    weights = {k: torch.full_like(v, float("nan")) for k, v in energy.state_dict().items()}
    save_model(tmp_path / "nan.safetensors", weights, config)
    with pytest.raises(BadModel, match="finite"):
        load_model(tmp_path / "nan.safetensors")


def test_damaged_weights_are_refused_and_files_that_do_not_say_are_read(tiny_model: Path, tmp_path: Path) -> None:
    damaged = bytearray(tiny_model.read_bytes())
    damaged[-400:-396] = b"\x7f\x7f\x7f\x7f"  # a finite number
    (tmp_path / "damaged.safetensors").write_bytes(damaged)
    with pytest.raises(BadModel, match=r"damaged\.safetensors is damaged"):
        load_model(tmp_path / "damaged.safetensors")
    _header(tiny_model, tmp_path / "older.safetensors", weights=None)
    assert load_model(tmp_path / "older.safetensors")[1] == load_model(tiny_model)[1]


@pytest.mark.parametrize(
    "changes",
    [
        {"network": {"coarsest": 16, "finest": 2**4000, "width": 8, "widest": 16}},
        {"network": {"coarsest": 16, "finest": 32, "width": 8, "widest": 1024}},
        {"network": {"coarsest": 16, "finest": 32, "width": 8, "widest": True}},
        {"network": ["coarsest"]},
        {"strength": float("nan")},
        {"strength": 10**400},
        {"ladder": {"stages": []}},
        {"ladder": {"stages": [{"resolution": 16, "step_size": float("inf")}]}},
        {"ladder": {"stages": [{"resolution": 16, "steps": 10**9}]}},
        {"ladder": {"stages": [{"resolution": 16, "\x1b[2J\n": 1}]}},
        {"ladder": {"stages": [{"resolution": 16}], "noise": float("nan")}},
        {"trained": 3},
        {"kind": ["model"]},
    ],
)
def test_a_hostile_configuration_is_one_plain_sentence_before_any_weight_is_read(
    tiny_model: Path, tmp_path: Path, changes: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    _header(tiny_model, tmp_path / "evil.safetensors", **changes)
    monkeypatch.setattr(torch, "isfinite", lambda value: pytest.fail("the weights were looked at"))
    with pytest.raises(BadModel) as caught:
        load_model(tmp_path / "evil.safetensors")
    assert str(caught.value).isprintable() and len(str(caught.value)) < 250


@pytest.mark.parametrize("how", ["shape", "type", "more", "fewer", "name"])
def test_tensors_are_compared_before_memory_is_taken_for_them(
    tiny_model: Path, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = load_file(tiny_model)
    name = "project.weight"
    if how == "shape":
        weights[name] = torch.ones(1, 1 << 20, 1, 1)
    elif how == "type":
        weights[name] = weights[name].half()
    elif how == "more":
        weights["../../x"] = torch.ones(1)
    else:
        kept = weights.pop(name)
        if how == "name":
            weights["project\n.weight"] = kept
    with safe_open(tiny_model, "pt") as file:
        meta = file.metadata()
    save_file(weights, tmp_path / "evil.safetensors", meta)
    monkeypatch.setattr(torch, "isfinite", lambda value: pytest.fail("the weights were looked at"))
    with pytest.raises(BadModel, match=r"^[^\n]*evil\.safetensors[^\n]*$"):
        load_model(tmp_path / "evil.safetensors")


def test_a_header_that_promises_a_terabyte_is_refused(tmp_path: Path) -> None:
    header = json.dumps({"w": {"dtype": "F32", "shape": [1 << 38], "data_offsets": [0, 1 << 40]}}).encode()
    path = tmp_path / "evil.safetensors"
    for length in (len(header), 1 << 62):
        path.write_bytes(length.to_bytes(8, "little") + header)
        with pytest.raises(BadModel, match="not a safetensors file"):
            load_model(path)


def test_a_file_that_is_too_large_is_not_even_opened(tmp_path: Path) -> None:
    path = tmp_path / "large.safetensors"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)  # takes no room on the disk
    with pytest.raises(BadModel, match="larger than any model"):
        load_model(path)


def test_names_from_somebody_elses_file_are_plain_and_short(tiny_model: Path, tmp_path: Path) -> None:
    _header(tiny_model, tmp_path / "odd.safetensors", source="\x1b[31mred\n---", target="x" * 10_000)
    config = load_config(tmp_path / "odd.safetensors")
    assert config.source == "[31mred---"
    assert len(config.target) == 100


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch) -> None:
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


def test_a_run_folder_is_a_model(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(BadModel, match=r"model\.safetensors"):
        locate(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(tiny_model.read_bytes())
    assert locate(str(tmp_path)) == tmp_path / "model.safetensors"


@pytest.mark.parametrize("name", shipped())
def test_shipped_models_load_are_small_and_have_a_card(name: str) -> None:
    path = locate(name)
    _, config = load_model(path)
    assert path.stat().st_size <= 4_000_000
    assert config.working >= 64
    text = card(name)
    assert text is not None
    assert digest(path) in text, "the card must be of these very weights"


def test_the_two_main_directions_are_shipped() -> None:
    assert {"apple2orange", "orange2apple"} <= set(shipped())
