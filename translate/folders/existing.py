"""Is a result finished? It says so itself: how it was made, and from what, by the digest of its source.

So there is no list that could be lost or be wrong, and a result that was moved, cut short or made from another image is
seen to be so. The digest is that of all the source's bytes: sizes and times of files change when folders are copied,
and stay the same when they should not. Reading a source takes a hundredth of its translation.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from translate.folders.plan import Item
from translate.folders.report import Outcome
from translate.images.metadata import read_provenance, source_digest
from translate.images.read import is_complete

COMPARED = ("digest", "strength", "steps", "size", "seed", "fast", "sampler_version", "metadata")


def existing_result(item: Item, wanted: Mapping[str, object], *, overwrite: bool = False) -> Outcome | None:
    """The outcome of an image before any work on it: skipped or refused; None if it is to be translated.

    A file at the target is skipped if it is complete, has the provenance `wanted` and was made from this very source.
    It is made again if it is empty, or is such a result but cut short. Any other file is left alone and the image
    refused, or with `overwrite` replaced.
    """
    if not os.path.lexists(item.target):
        return None
    reason = _in_the_way(item, wanted)
    if reason is None:
        if item.target.stat().st_size and is_complete(item.target):
            return Outcome(item.name, item.target_name, "skipped")
        return None
    if overwrite and not item.target.is_dir():
        return None
    return Outcome(item.name, item.target_name, "refused", reason=reason)


def _in_the_way(item: Item, wanted: Mapping[str, object]) -> str | None:
    """Why what lies at the target is not, and never was, the result that is wanted there."""
    target = item.target
    if target.is_dir():
        return "there is a folder of its result's name"
    if target.is_file() and target.stat().st_size == 0:
        return None
    found = read_provenance(target) if target.is_file() else None
    if found is None:
        return (
            f"{item.target_name} is there already and cannot be seen to be a result of cf-translate; "
            "--overwrite replaces it"
        )
    for key in COMPARED:
        if found.get(key) != wanted.get(key):
            return f"{item.target_name} {_difference(key, found, wanted)}; --overwrite replaces it"
    if found.get("source") != source_digest(item.source):
        return f"{item.target_name} was made from another picture, or this one has changed; --overwrite replaces it"
    return None


def _difference(key: str, found: Mapping[str, object], wanted: Mapping[str, object]) -> str:
    if key == "sampler_version":
        return f"was made by another version of cf-translate ({found.get('version', 'unknown')})"
    absent = False if key == "fast" else "dropped"
    was, now = (record.get(key, absent) for record in (found, wanted))
    return f"was made with other settings ({'model' if key == 'digest' else key} {was}, not {now})"
