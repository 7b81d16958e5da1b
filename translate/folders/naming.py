"""What results are called: in a folder, and beside single files."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from translate.images.formats import can_save, saved_format

Format = Literal["keep", "png", "jpeg", "webp"]
_SUFFIXES: dict[Format, str] = {"png": ".png", "jpeg": ".jpg", "webp": ".webp"}


@dataclass(frozen=True)
class Output:
    """Where somebody wants results: a file, or a folder."""

    path: Path
    is_folder: bool

    @classmethod
    def of(cls, text: str) -> Output:
        """A folder is what ends with a slash, is there as one, or has no suffix."""
        path = Path(text)
        ends_so = text.endswith(("/", os.sep)) or path.name in ("", "..")
        return cls(path, ends_so or os.path.isdir(path) or not path.suffix)


def result_path(source: Path, output: Output | None, label: str) -> Path:
    """Where the result of a single file goes.

    output: None puts the result beside its source, with `label` behind its name. The format is the source's own, PNG
    where that cannot be written.
    """
    suffix = source.suffix if can_save(source) else ".png"
    if output is None:
        return source.with_name(f"{source.stem}-{label}{suffix}")
    return output.path / f"{source.stem}{suffix}" if output.is_folder else output.path


def name_targets(names: Sequence[str], format: Format) -> tuple[dict[str, str], dict[str, str]]:
    """Source names -> target names, all of them different, also on disks that ignore the case of letters.

    Where several sources would get one name, the one that has it already keeps it, and the others are called by their
    whole name with the new suffix behind it: a.jpg and a.png become, as PNG, a.jpg.png and a.png. What clashes even
    then is refused: the second dictionary holds source names and reasons.
    """
    first = {name: _renamed(name, format) for name in sorted(names)}
    counts = Counter(map(name_key, first.values()))
    second = {
        name: target if counts[name_key(target)] == 1 or name == target else name + PurePosixPath(target).suffix
        for name, target in first.items()
    }
    owners: dict[str, str] = {}
    for name in sorted(second, key=lambda name: (name != second[name], name)):
        owners.setdefault(name_key(second[name]), name)
    targets = {name: target for name, target in second.items() if owners[name_key(target)] == name}
    clashes = {
        name: f"its result would take the name of that of {owners[name_key(target)]}"
        for name, target in second.items()
        if name not in targets
    }
    return targets, clashes


def _renamed(name: str, format: Format) -> str:
    path = PurePosixPath(name)
    if format == "keep":
        return name if saved_format(path) else str(path.with_suffix(".png"))
    return name if saved_format(path) == format.upper() else str(path.with_suffix(_SUFFIXES[format]))


def name_key(name: str) -> str:
    """Equal for names that some disk cannot hold side by side."""
    return unicodedata.normalize("NFC", name).casefold()
