"""Results of earlier calls among the sources of this one: they lie beside their sources, or in a folder among them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from translate.images.metadata import read_provenance, source_digest


def own_results(paths: Sequence[Path]) -> dict[Path, Path]:
    """Which of these pictures are results of others of them, and of which.

    Only pictures whose names say that they might be are opened: of `translate`, a-apple2orange.jpg beside a.jpg; of
    `batch`, results/x/a.jpg beside x/a.jpg, which also has to be what its record says it was made from.
    """
    by_stem: dict[tuple[Path, str], list[Path]] = {}
    for path in paths:
        by_stem.setdefault((path.parent, path.stem), []).append(path)
    found = {}
    for path in paths:
        made: dict[str, object] | None = None
        for folder, stem, nested in _origins(path):
            for origin in by_stem.get((folder, stem), ()):
                made = made if made is not None else (read_provenance(path) or {})
                if origin != path and _is_from(made, origin, f"{stem}-{made.get('model')}" == path.stem, nested):
                    found[path] = origin
    return found


def _origins(path: Path) -> Iterator[tuple[Path, str, bool]]:
    """Folders and stems of what a picture may be the result of, and whether by a batch."""
    parts = path.stem.split("-")
    for count in range(1, len(parts)):
        yield path.parent, "-".join(parts[:count]), False
    inside = PurePosixPath(path.as_posix()).parts
    for place in range(1, len(inside) - 1):
        folder = Path(*inside[:place], *inside[place + 1 : -1])
        yield folder, path.stem, True
        yield folder, PurePosixPath(path.stem).stem, True  # a.jpg.png stands for a.jpg beside a.png


def _is_from(made: dict[str, object], origin: Path, named_so: bool, nested: bool) -> bool:
    if not made:
        return False
    if not nested:
        return named_so
    try:
        return made.get("source") == source_digest(origin)
    except OSError:
        return False
