"""Folders of pictures that are not on this machine: s3://, hf:// and whatever else fsspec has a file system for.

fsspec finds the file system by the protocol of the URL; credentials, addresses, connections and what is tried again
are that file system's own business, by its own variables and files.

A file comes whole or not at all onto this disk, where images/read.py opens it, and goes up in one piece: in an object
store nobody sees half of it. Nothing that is said of a place tells what its URL may hold of passwords and tokens.
"""

from __future__ import annotations

import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from models.atomic import remove_leftovers
from translate.images.formats import is_image_name, is_shown
from translate.images.types import ImageError
from translate.lock import sole_use

MAX_FILE = 512 * 2**20  # bytes of a picture, which are to be fetched before its pixels can be counted
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Remote:
    """A file or folder elsewhere. url: of the folder that somebody named. inside: the path in it, with slashes.

    Nothing is open: it may travel to other processes.
    """

    url: str = field(repr=False)  # may hold a password
    inside: str = ""

    def __truediv__(self, name: str) -> Remote:
        return Remote(self.url, f"{self.inside}/{name}" if self.inside else name)

    @property
    def name(self) -> str:
        """The last part of its path, of a whole store its address or protocol; nothing in it is secret."""
        named = self.url.partition("://")[2].partition("::")[0].partition("?")[0]
        path = f"{named}/{self.inside}".strip("/")
        return path.rpartition("/")[2] if "/" in path else path.rpartition("@")[2] or protocol(self.url)

    def contains(self, other: Path | Remote) -> bool:
        """Whether the other one is this folder or lies in it."""
        if isinstance(other, Path):
            return False
        (system, path), (other_system, other_path) = self._opened(), other._opened()
        return bool(system == other_system) and PurePosixPath(other_path).is_relative_to(path)

    def pictures(self, left_out: Path | Remote, recursive: bool) -> Iterator[tuple[str, str | None]]:
        """The paths of the files in this folder that by their names are pictures; with a reason where one is refused.

        Hidden files and folders are left out, and `left_out` where it lies in this one. Folders that may not be read
        are among the refused. Raises ImageError where this folder itself cannot be read.
        """
        inner = left_out if isinstance(left_out, Remote) and self.contains(left_out) else None
        waiting = [""]
        while waiting:
            folder = self / inside if (inside := waiting.pop()) else self
            try:
                entries = folder._listed()
            except ImageError as error:
                if folder is self:
                    raise
                yield inside, error.reason
                continue
            for name, kind in entries:
                path = f"{inside}/{name}" if inside else name
                if not is_shown(name):
                    continue
                if kind == "directory":
                    if recursive and not (inner and inner.contains(self / path)):
                        waiting.append(path)
                elif is_image_name(name):
                    yield path, _why_not(name, kind)

    def _listed(self) -> list[tuple[str, str]]:
        """Name and kind of what is in this folder, but for files without a name, which stand for the folder itself."""
        try:
            system, path = self._opened()
            found = system.ls(path, detail=True)
            system.invalidate_cache(path)  # which would keep a kilobyte for each file
        except FileNotFoundError as error:
            raise ImageError(self.name, "there is no such folder, or nothing in it") from error
        except PermissionError as error:
            raise ImageError(self.name, "this folder may not be read (permission denied)") from error
        except Exception as error:  # whatever a file system may raise
            raise ImageError(self.name, f"this folder cannot be reached ({_words(error)})") from error
        entries = [(entry["name"], entry["type"]) for entry in found]
        if [(path, "file")] == entries:
            raise ImageError(self.name, "this is a file and not a folder")
        trimmed = ((name.rstrip("/"), kind) for name, kind in entries if not (name.endswith("/") and kind == "file"))
        return [(name.rpartition("/")[2], kind) for name, kind in trimmed if name and name != path.rstrip("/")]

    def fetch(self, to: Path) -> bool:
        """Copy the file into a new one on this disk; a folder becomes a folder. Says whether there is anything.

        Raises ImageError for what is larger than MAX_FILE, comes cut short, or cannot be had; then nothing is left.
        """
        try:
            system, path = self._opened()
            with system.open(path, "rb") as file, to.open("xb") as copy:
                size = getattr(file, "size", None)
                count = size if isinstance(size, int) and size > MAX_FILE else 0
                while count <= MAX_FILE and (block := file.read(_BLOCK)):
                    count += copy.write(block)
            if count > MAX_FILE:
                raise ImageError(to.name, f"it is larger than {MAX_FILE >> 20} MB")
            if isinstance(size, int) and count != size:
                raise ImageError(to.name, f"it was cut short on its way: {count} of {size} bytes came")
        except FileNotFoundError:
            to.unlink(missing_ok=True)
            return False
        except IsADirectoryError:
            to.unlink(missing_ok=True)
            to.mkdir()
        except Exception as error:
            to.unlink(missing_ok=True)
            if isinstance(error, ImageError):
                raise
            denied = isinstance(error, PermissionError)
            reason = "it may not be read (permission denied)" if denied else f"it cannot be fetched ({_words(error)})"
            raise ImageError(to.name, reason) from error
        return True

    def put(self, file: Path) -> None:
        """Copy a file of this disk here, in one piece, over what may be there. Raises ImageError."""
        try:
            system, path = self._opened()
            try:
                system.put_file(str(file), path)
            except FileNotFoundError:  # this one wants folders to be made, which object stores do not have
                self._make_folders()
                system.put_file(str(file), path)
        except Exception as error:
            denied = isinstance(error, PermissionError)
            reason = "it may not be put there (permission denied)" if denied else f"it cannot be put ({_words(error)})"
            raise ImageError(self.name, reason) from error

    def _make_folders(self) -> None:
        """The folders around this file, up to the one that was named; never a bucket, which stands at the top."""
        system, root = Remote(self.url)._opened()
        for folder in reversed(PurePosixPath(self.inside).parents):
            path = str(PurePosixPath(root) / folder)
            if "/" not in path.strip("/") or system.isdir(path):
                continue
            try:
                system.mkdir(path, create_parents=False)
            except Exception:
                if not system.isdir(path):  # else another thread or machine was quicker
                    raise

    def check_room(self) -> None:
        """Put an empty hidden file into this folder and take it away: better now than after all the work.

        Raises ImageError.
        """
        trial = self / f".cf-translate-{secrets.token_hex(8)}.part"
        try:
            with tempfile.TemporaryDirectory() as folder:
                empty = Path(folder, "empty")
                empty.touch()
                trial.put(empty)
            system, path = trial._opened()
            system.rm_file(path)
        except ImageError as error:
            raise ImageError(self.name, f"results cannot go there: {error.reason}") from error
        except Exception as error:
            raise ImageError(self.name, f"results cannot go there: nothing can be removed ({_words(error)})") from error

    def _opened(self) -> tuple[Any, str]:
        """The file system, of which fsspec keeps one for all, and the path in it."""
        from fsspec.core import url_to_fs  # not at the top: folders of this machine need none of it

        system, root = url_to_fs(self.url)
        return system, f"{root.rstrip('/')}/{self.inside}" if self.inside else root


def parse_location(where: str | os.PathLike[str]) -> Path | Remote:
    """What somebody named: a path of this machine, absolute, also by file://; else a URL.

    Raises ValueError, with one sentence, where there is no file system for it.
    """
    text = os.fspath(where)
    if "://" not in text:
        return real_path(text)
    from fsspec.core import url_to_fs
    from fsspec.implementations.local import LocalFileSystem

    try:
        system, path = url_to_fs(text)
    except ImportError as error:
        raise ValueError(f"{protocol(text)}:// cannot be used yet: {_words(error)}") from error
    except Exception as error:
        raise ValueError(f"{protocol(text)}:// cannot be opened: {_words(error)}") from error
    return real_path(path) if isinstance(system, LocalFileSystem) else Remote(text)


def real_path(path: str | os.PathLike[str]) -> Path:
    """Absolute and without links. Of a circle of links, at which Path.resolve raises up to Python 3.12, itself."""
    return Path(os.path.realpath(path))


def contains(folder: Path | Remote, other: Path | Remote) -> bool:
    """Whether the other one is this folder or lies in it."""
    if isinstance(folder, Remote):
        return folder.contains(other)
    return isinstance(other, Path) and other.is_relative_to(folder)


@contextmanager
def prepared_target(folder: Path | Remote) -> Iterator[None]:
    """Make the folder for results, or see that it takes some; one of this machine is held against other runs.

    Raises OSError and InUse, elsewhere ImageError.
    """
    if isinstance(folder, Remote):
        folder.check_room()
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with sole_use(folder):
        remove_leftovers(folder)
        yield


def protocol(url: str) -> str:
    """What stands before ://, without the protocols before it that only pass on."""
    return url.partition("://")[0].rpartition("::")[2]


def _why_not(name: str, kind: str) -> str | None:
    if kind != "file":
        return "this is not an ordinary file"
    if "\0" in name or PurePath(name).name != name:  # with a backslash, on Windows
        return "no file of this machine can have its name"
    return None


def _words(error: Exception) -> str:
    """What went wrong, on one line, without what in an address is secret."""
    text = " ".join(str(error).split())
    text = re.sub(r"(?<=://)[^\s/]*@|[^\s/'\"]+:[^\s/'\"]+@", "", text)
    text = re.sub(r"\?[^\s'\"]+", "", text)
    if isinstance(error, FileNotFoundError):
        return f"there is no such file, folder or bucket: {text[:200]}"
    return text[:200] or type(error).__name__
