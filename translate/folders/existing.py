"""Is a result finished? It says so itself: how it was made, and from what, by the digest of its source.

So there is no list that could be lost or be wrong, and a result that was moved, cut short or made from another
picture is seen to be so. The digest is that of all the source's bytes: sizes and times of files change when folders
are copied, and stay the same when they should not; to read a source takes a hundredth of its translation.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from translate.folders.plan import Item
from translate.folders.report import Outcome
from translate.folders.settings import Settings
from translate.images.metadata import read_provenance
from translate.images.read import is_complete
from translate.pipeline import Translator


def provenance(translator: Translator, settings: Settings) -> dict[str, object]:
    """How the results of a batch are made, as it is written into each of them; `standing` compares it.

    Raises ValueError for settings that the model cannot follow.
    """
    made = translator.made(strength=settings.strength, steps=settings.steps, size=settings.size, seed=settings.seed)
    return {**made, "metadata": "kept"} if settings.keep_metadata else made


def existing_result(item: Item, provenance: Mapping[str, object], *, overwrite: bool = False) -> Outcome | None:
    """What is to be said of a picture before any work on it: skipped or refused; None if it is to be translated.

    What is found at the target is skipped if it is whole, made as `record` says and made from this very source. It is
    made anew if it is empty, or is such a result but cut short. All else is left alone and the picture refused, or
    with `overwrite` replaced.
    """
    if not os.path.lexists(item.target):
        return None
    reason = _in_the_way(item, provenance)
    if reason is None:
        if item.target.stat().st_size and is_complete(item.target):
            return Outcome(item.name, item.target_name, "skipped")
        return None
    if overwrite and not item.target.is_dir():
        return None
    return Outcome(item.name, item.target_name, "refused", reason=reason)


def _in_the_way(item: Item, provenance: Mapping[str, object]) -> str | None:
    """Why what lies at the target is not, and never was, the result that is wanted there."""
    target = item.target
    if target.is_dir():
        return "there is a folder of its result's name"
    if target.is_file() and target.stat().st_size == 0:
        return None
    made = read_provenance(target) if target.is_file() else None
    if made is None:
        return (
            f"{item.target_name} is there already and cannot be seen to be a result of cf-translate; "
            "--overwrite replaces it"
        )
    for key in ("digest", "strength", "steps", "size", "seed", "version", "metadata"):
        if made.get(key) != provenance.get(key):
            was, wanted = made.get(key, "dropped"), provenance.get(key, "dropped")
            what = "model" if key == "digest" else key
            return (
                f"{item.target_name} was made with other settings ({what} {was}, not {wanted}); --overwrite replaces it"
            )
    if made.get("source") != source_digest(item.source):
        return f"{item.target_name} was made from another picture, or this one has changed; --overwrite replaces it"
    return None


def source_digest(path: Path) -> str:
    """The first 16 hexadecimal digits of the file's SHA-256. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:16]
