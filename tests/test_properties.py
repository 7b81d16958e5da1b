"""What holds for any names, any tiles and any pictures: properties, tried on examples that hypothesis looks for."""

from __future__ import annotations

import io
from unittest import mock

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from models.config import Upsampling
from translate import upsample
from translate.folders.naming import Format, name_targets
from translate.images.metadata import read_provenance
from translate.images.read import open_image
from translate.images.write import save_image

STEMS = st.text("aAbB.\u00e4\u0308 _1", min_size=1, max_size=5).filter(lambda stem: stem.strip(". ") == stem)
NAMES = st.builds(
    "{}{}".format, STEMS, st.sampled_from((".jpg", ".JPG", ".jpeg", ".png", ".webp", ".heic", ".jpg.png"))
)
FORMATS: tuple[Format, ...] = ("keep", "png", "jpeg", "webp")
quick = settings(max_examples=60, deadline=None)


@quick
@given(st.lists(NAMES, unique=True, max_size=8), st.sampled_from(FORMATS), st.randoms())
def test_no_two_sources_get_one_target_and_none_is_lost(names: list[str], format: Format, random) -> None:
    targets, clashes = name_targets(names, format)
    assert len({target.casefold() for target in targets.values()}) == len(targets)
    assert sorted([*targets, *clashes]) == sorted(names)
    shuffled = list(names)
    random.shuffle(shuffled)
    assert name_targets(shuffled, format) == (targets, clashes), "the order of a listing must not matter"


@quick
@given(
    st.integers(1, 40), st.integers(1, 40), st.integers(3, 9), st.integers(3, 9),
    st.tuples(st.integers(1, 50), st.integers(1, 50)), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_tiles_of_any_size_give_what_the_whole_picture_gives(
    height: int, width: int, rows: int, columns: int, tile: tuple[int, int], seed: int
) -> None:
    generator = np.random.default_rng(seed)
    picture: NDArray[np.uint8] = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
    before, after = torch.from_numpy(generator.uniform(-1, 1, (2, 1, 3, rows, columns)).astype(np.float32))
    with mock.patch.object(upsample, "TILE", (64, 64)):
        whole = upsample.guided_upsample(picture, before, after, Upsampling()).astype(int)
    with mock.patch.object(upsample, "TILE", tile):
        tiled = upsample.guided_upsample(picture, before, after, Upsampling()).astype(int)
    assert np.abs(whole - tiled).max() <= 1, "the last bit of a float may round otherwise"


@quick
@given(
    st.sampled_from(("RGB", "RGBA", "L", "LA", "P")), st.integers(1, 12), st.integers(1, 12),
    st.sampled_from((".png", ".tif")), st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=4)),
    st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_a_picture_that_is_opened_saved_and_opened_is_the_same(
    tmp_path_factory, mode: str, width: int, height: int, suffix: str, provenance: dict[str, object], seed: int
) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 4), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, "PNG")
    opened = open_image(stream.getvalue())
    path = tmp_path_factory.mktemp("saved") / f"a{suffix}"
    save_image(opened.rgb, path, like=opened, provenance=provenance)
    again = open_image(path)
    assert again.rgb.tobytes() == opened.rgb.tobytes()
    assert (again.alpha and again.alpha.tobytes()) == (opened.alpha and opened.alpha.tobytes())
    if provenance:
        found = read_provenance(path)
        assert found is not None and found.keys() == provenance.keys()
