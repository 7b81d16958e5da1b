"""The Hugging Face Hub: files from there, checked against the digest that it gives for them, and models to there.

A file that is in the cache of this machine is used without asking anybody. Whatever goes wrong is a HubError with one
plain sentence, within seconds where the Hub cannot be reached.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar
from urllib.parse import quote

from huggingface_hub import (
    HfApi,
    HfFileSystem,
    constants,
    get_hf_file_metadata,
    get_token,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from huggingface_hub import errors as hub_errors
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
from huggingface_hub.utils import logging as hub_logging

from models.errors import BadModel
from models.model import MAX_BYTES, load_config
from models.names import FILE_NAME

CARD = "README.md"
PATIENCE = 8.0  # seconds for the first answer; the client itself would try for 23 where no name is resolved

Kind = Literal["model", "dataset"]
T = TypeVar("T")

_NAME = re.compile(r"(?P<owner>[\w.-]+)/(?P<name>[\w.-]+?)(?:@(?P<revision>[\w.-]+(?:/[\w.-]+)*))?", re.ASCII)
_PART = re.compile(r"\w(?:[\w.-]{0,94}\w)?", re.ASCII)


class HubError(BadModel):
    """Something that the Hub has not, gives not, or takes not; the message is one plain sentence."""


@dataclass(frozen=True)
class HubName:
    """owner/name, and the branch, tag or commit that is meant; None is the newest, as of the last look."""

    repository: str
    revision: str | None = None

    def __str__(self) -> str:
        return self.repository if self.revision is None else f"{self.repository}@{self.revision}"


def parse_name(text: str) -> HubName:
    """owner/name or owner/name@revision -> HubName. Raises HubError for what cannot be a name on the Hub."""
    found = _NAME.fullmatch(text)
    parts = [*found.groups()[:2], *(found["revision"] or "main").split("/")] if found else []
    if found is None or not all(_PART.fullmatch(part) and ".." not in part and "--" not in part for part in parts):
        raise HubError(f"{_plain(text)} is no name on the Hub; these are owner/name or owner/name@revision")
    return HubName(f"{found['owner']}/{found['name']}", found["revision"])


def cached(name: HubName, file: str = FILE_NAME, kind: Kind = "model") -> Path | None:
    """The file as it was last fetched, or None. One that is no longer what was fetched is removed."""
    path = try_to_load_from_cache(
        name.repository, file, constants.HF_HUB_CACHE, revision=name.revision, repo_type=kind
    )  # fmt: skip
    if not isinstance(path, str):
        return None
    return Path(path) if _kept_if_whole(Path(path)) else None


def fetch(name: HubName, file: str = FILE_NAME, kind: Kind = "model", max_bytes: int = MAX_BYTES) -> Path:
    """The file as it is on the Hub now, in the cache of this machine. Raises HubError.

    Its digest is compared with the one that the Hub names (SHA-256, or Git's for small files), and a file that does
    not have it is removed, so that it is never used and the next call fetches it again.
    """
    with _sentences(name, file):
        address = hf_hub_url(name.repository, file, repo_type=kind, revision=name.revision, endpoint=constants.ENDPOINT)
        there = _soon(lambda: get_hf_file_metadata(address, token=get_token(), timeout=PATIENCE))
        if there.size is not None and there.size > max_bytes:
            megabytes = f"{there.size / 2**20:,.0f} MB, and no more than {max_bytes >> 20} are taken"
            raise HubError(f"{file} of {name} is too large: {megabytes}")
        cached(name, file, kind)  # removes what is damaged, or else that would count as fetched
        with _quiet():
            path = Path(
                hf_hub_download(
                    name.repository, file, repo_type=kind, revision=name.revision,
                    cache_dir=constants.HF_HUB_CACHE, endpoint=constants.ENDPOINT,
                )
            )  # fmt: skip
        if not _kept_if_whole(path, there.etag):
            raise HubError(f"{file} of {name} came damaged, and was thrown away; try again")
        return path


def model_file(name: HubName) -> Path:
    """The model file of a repository: from the cache if it is there, else from the Hub. Raises HubError."""
    return cached(name) or pull(name)


def card(name: HubName) -> str | None:
    """The card that was fetched with a model, or None."""
    path = cached(name, CARD)
    return path.read_text(encoding="utf-8", errors="replace") if path is not None else None


def pull(name: HubName) -> Path:
    """Bring a model and its card up to date. Returns the model file, which can be loaded. Raises BadModel."""
    path = fetch(name)
    load_config(path)
    with contextlib.suppress(HubError):  # many have none
        fetch(name, CARD)
    return path


def pulled() -> dict[str, Path]:
    """The models of ours in the cache, by owner/name: the newest of each that was fetched, as far as it is whole."""
    found: dict[str, Path] = {}
    for folder in sorted(Path(constants.HF_HUB_CACHE).glob("models--*--*")):
        name = folder.name.removeprefix("models--").replace("--", "/")
        path = try_to_load_from_cache(name, FILE_NAME, constants.HF_HUB_CACHE)
        # The cache also holds models of other programs, of many gigabytes: nothing of those is read but a header.
        with contextlib.suppress(BadModel, OSError):
            if isinstance(path, str):
                load_config(Path(path))
                if cached(parse_name(name)) is not None:
                    found[name] = Path(path)
    return found


def push(name: HubName, folder: Path, *, public: bool = False, message: str = "Update the model") -> str:
    """Make a repository of the model, the card and what is beside them in `folder`. Returns its address.

    A new repository is private, so that only its owner sees it, unless `public`. Pictures of an earlier push that
    are not in `folder` are deleted there, but for its history; so a private one is not made public here. Raises
    HubError, also where the repository is public and `public` is not set, or the other way round.
    """
    api = HfApi(endpoint=constants.ENDPOINT)
    with _sentences(name, "", doing="sent to"):
        if get_token() is None:
            raise HubError("you are not logged in to the Hub: run `hf auth login`, or set HF_TOKEN")
        with contextlib.suppress(hub_errors.RepositoryNotFoundError):
            private = _soon(lambda: api.repo_info(name.repository, timeout=PATIENCE)).private
            if not private and not public:
                raise HubError(f"{name} is public on the Hub: everybody would see it; say --public if that is meant")
            if private and public:
                raise HubError(
                    f"{name} is private on the Hub, with all that it ever held; its settings there make it public, "
                    "or take another name"
                )
        with _quiet():
            address = str(api.create_repo(name.repository, private=not public, exist_ok=True))
            api.upload_folder(
                repo_id=name.repository, folder_path=folder, delete_patterns=["*.png"], commit_message=message,
            )  # fmt: skip
        return address


def commit_of(name: HubName, kind: Kind = "model") -> str:
    """The commit that a name stands for now. Raises HubError."""
    with _sentences(name, ""):
        api = HfApi(endpoint=constants.ENDPOINT)
        info = _soon(
            lambda: api.repo_info(name.repository, revision=name.revision, repo_type=kind, timeout=PATIENCE)
        )  # fmt: skip
        return str(info.sha)


def listing(name: HubName, folder: str = "") -> dict[str, list[str | int]]:
    """The files of a dataset below a folder: path in the repository -> size and digest, sorted. Raises HubError."""
    root = f"datasets/{name.repository}" + (f"@{quote(name.revision, safe='')}" if name.revision else "")
    with _sentences(name, folder):
        found = HfFileSystem(endpoint=constants.ENDPOINT).find(f"{root}/{folder}".rstrip("/"), detail=True)
        assert isinstance(found, dict)
        return {
            path.removeprefix(f"{root}/"): [info["size"], info.get("blob_id", "")]
            for path, info in sorted(found.items())
        }


def _kept_if_whole(path: Path, etag: str | None = None) -> bool:
    """Whether a file in the cache has the digest that the Hub gave for it; if not it is removed.

    The cache names a blob after that digest and links to it; where links are not to be had only `etag` tells it.
    """
    # One link only: the blob may be a link into a store with names of another kind.
    wanted = Path(os.readlink(path)).name if path.is_symlink() else etag
    if wanted is None or not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", wanted):
        return True  # not a digest that could be checked: the size was, and the reading of the file is strict
    if len(wanted) == 64:
        digest = hashlib.sha256()
    else:  # as Git names its blobs
        digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as content:
        while piece := content.read(1 << 20):
            digest.update(piece)
    if digest.hexdigest() == wanted:
        return True
    path.resolve().unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    return False


def _soon(question: Callable[[], T]) -> T:
    """The answer to the first question put to the Hub, or TimeoutError: looking up a name knows no time limit."""
    answers: list[T] = []
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            answers.append(question())
        except BaseException as error:
            errors.append(error)

    asking = threading.Thread(target=ask, daemon=True)  # a pool's threads would hold up the end of the program
    asking.start()
    asking.join(PATIENCE)
    if errors:
        raise errors[0]
    if not answers:
        raise TimeoutError
    return answers[0]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the client's warnings about tries of its own, and without its bars."""
    level, bars = hub_logging.get_verbosity(), are_progress_bars_disabled()
    hub_logging.set_verbosity_error()
    disable_progress_bars()
    try:
        yield
    finally:
        hub_logging.set_verbosity(level)
        if not bars:
            enable_progress_bars()


@contextlib.contextmanager
def _sentences(name: HubName, file: str, doing: str = "had from") -> Iterator[None]:
    """Whatever the client, the network or the disk raises becomes a HubError."""
    try:
        yield
    except HubError:
        raise
    except (hub_errors.HTTPError, OSError, ValueError, RuntimeError) as error:  # the last are those of Xet
        raise HubError(_sentence(error, name, file, doing)) from error


def _sentence(error: Exception, name: HubName, file: str, doing: str) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    page = f"{constants.ENDPOINT}/{name.repository}"
    if isinstance(error, hub_errors.GatedRepoError):
        return f"{name} is gated: ask for access at {page}, and log in with `hf auth login`"
    if isinstance(error, hub_errors.RepositoryNotFoundError):
        return f"there is no {name.repository} on the Hub, or it is private and you are not logged in"
    if isinstance(error, hub_errors.RevisionNotFoundError):
        return f"{name.repository} has no revision {name.revision or 'main'}"
    if isinstance(error, hub_errors.EntryNotFoundError) and status == 404:
        return f"{name} holds no {file}" + ("; it is no model of cf-translate" if file == FILE_NAME else "")
    if isinstance(error, hub_errors.OfflineModeIsEnabled):
        return f"{name} is not on this machine, and the Hub is switched off here (HF_HUB_OFFLINE)"
    if status in (401, 403):
        return f"the Hub does not let you: {name} needs a login with more rights than yours (`hf auth login`)"
    if status is not None:
        return f"{name} could not be {doing} the Hub, which answers with error {status}; try again later"
    if isinstance(error, OSError) and error.errno is not None and error.strerror and error.filename:
        return f"{name} could not be {doing} the Hub: {error.filename}: {error.strerror}"
    return f"{name} could not be {doing} the Hub, which cannot be reached or broke off; try again later"


def _plain(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable())[:100]
