"""Copies, on this disk, of pictures that lie elsewhere: each for as long as it is worked on."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from threading import Lock
from types import TracebackType

from translate.folders.plan import Item, RemoteItem
from translate.folders.remote import Remote
from translate.folders.report import Outcome
from translate.images.types import ImageError
from translate.temporary import held_folder


class RemoteCache:
    """What of a plan is at hand; items whose two files are on this machine pass through as they are.

    Several threads may use it. All copies are gone when it closes. only_standing: sources are fetched only to be
    compared with a result that is there already.
    """

    def __init__(self, *, only_standing: bool = False) -> None:
        self._only_standing = only_standing
        self._folders: dict[str, tuple[Item, Path | Remote, Path]] = {}
        self._held = ExitStack()
        self._root: Path | None = None
        self._making = Lock()

    def __enter__(self) -> RemoteCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    def fetch(self, item: Item | RemoteItem) -> Item:
        """The same picture with both files on this disk: its source, and what stands at its target, if anything.

        Its outcome is to be given to `put`, whatever it is. Raises ImageError, OSError.
        """
        if isinstance(item, Item):
            return item
        folder = Path(tempfile.mkdtemp(dir=self._place()))
        source, target = (
            path if isinstance(path, Path) else folder / side / PurePosixPath(name).name
            for path, side, name in ((item.source, "in", item.name), (item.target, "out", item.target_name))
        )
        here = Item(source, target, item.name, item.target_name)
        self._folders[item.name] = here, item.target, folder
        if isinstance(item.target, Remote):
            target.parent.mkdir()
            item.target.fetch(target)
        if isinstance(item.source, Remote) and (not self._only_standing or os.path.lexists(target)):
            source.parent.mkdir()
            if not item.source.fetch(source):
                raise ImageError(source.name, "there is no such file any more")
        return here

    def _place(self) -> Path:
        """Where the copies are, made when the first one is wanted."""
        with self._making:
            if self._root is None:
                self._root = self._held.enter_context(held_folder("cf-translate-cache-"))
            return self._root

    def put(self, outcome: Outcome) -> Outcome:
        """Put up the result of a picture, if it has one; its copies are gone then. It failed where that fails."""
        if outcome.source not in self._folders:
            return outcome
        here, target, folder = self._folders.pop(outcome.source)
        try:
            if outcome.status == "done" and isinstance(target, Remote):
                target.put(here.target)
        except ImageError as error:
            return Outcome(outcome.source, outcome.target, "failed", outcome.seconds, reason=error.reason)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return outcome
