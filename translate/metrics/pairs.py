"""Which result belongs to which source: by the names of files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from PIL import Image

from translate.images.read import open_image
from translate.images.training_set import list_images
from translate.images.types import ImageError

FEWEST = 4  # pictures on either side that can be measured: KID looks at halves, and a half needs two


def by_name(folder: Path, say: Callable[[str], None] = lambda sentence: None) -> dict[str, Path]:
    """A folder's pictures by their names without suffix; `say` hears of two that have one name.

    Raises ImageError where there is no such folder, ValueError where it holds no picture.
    """
    found: dict[str, Path] = {}
    for path in list_images(folder):
        if path.stem in found:
            say(f"{path.name}: skipped, there is another picture of that name")
        else:
            found[path.stem] = path
    if not found:
        raise ValueError(f"there is no picture in {folder.name}")
    return found


def results_of(sources: Iterable[str], results: Mapping[str, Path]) -> dict[str, Path]:
    """Source -> its result: a file of the source's name or, as `translate` writes them, SOURCE-anything.

    A result that fits two sources (a and a-1) belongs to the longer name; of two for one source the exact name counts.
    """
    names = set(sources)
    found: dict[str, Path] = {}
    for result in sorted(results, key=lambda name: (name not in names, name)):
        cuts = [result, *(result[:at] for at in range(len(result) - 1, 0, -1) if result[at] == "-")]
        if (source := next((cut for cut in cuts if cut in names), None)) is not None:
            found.setdefault(source, results[result])
    return found


def shared_sources(sources: Mapping[str, Path], folders: Mapping[Path, Mapping[str, Path]]) -> list[str]:
    """The sources, in order, that have a result in every folder. folders: what `results_of` found in each.

    Raises ValueError where there is none.
    """
    for folder, found in folders.items():
        if not found:
            raise ValueError(f"{folder.name} holds no picture with the name of a source")
    shared = [name for name in sources if all(name in found for found in folders.values())]
    if not shared:
        raise ValueError(f"no source has a result in each of {', '.join(folder.name for folder in folders)}")
    return shared


def to_square(picture: Image.Image, size: int = 256) -> Image.Image:
    """The picture's short side brought to `size` (Lanczos), then its central square; size x size stays as it is."""
    picture = picture.convert("RGB")
    if picture.size == (size, size):
        return picture
    factor = size / min(picture.size)
    width, height = (max(size, round(side * factor)) for side in picture.size)
    left, top = (width - size) // 2, (height - size) // 2
    return picture.resize((width, height), Image.Resampling.LANCZOS).crop((left, top, left + size, top + size))


def squares(
    files: Mapping[str, Path], size: int, say: Callable[[str], None] = lambda sentence: None
) -> dict[str, Image.Image]:
    """The pictures that can be read, size x size; `say` hears of each other one."""
    read: dict[str, Image.Image] = {}
    for name, path in files.items():
        try:
            read[name] = to_square(open_image(path).rgb, size)
        except ImageError as error:
            say(f"{error}; skipped")
    return read
