"""Which picture of a folder becomes which file of another one: plain data, made before any picture is opened."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from translate.folders.naming import Format, Output, name_key, name_targets, result_path
from translate.folders.own_results import own_results
from translate.folders.remote import Remote, contains, parse_location, protocol, real_path
from translate.images.formats import can_save, is_image_name, is_shown
from translate.images.metadata import read_provenance


@dataclass(frozen=True)
class Item:
    """One picture to translate. name, target_name: the paths inside the two folders, with slashes."""

    source: Path
    target: Path
    name: str
    target_name: str


@dataclass(frozen=True)
class RemoteItem:
    """An Item of which one file or both lie elsewhere; remote_cache.py makes an Item of it when its turn comes."""

    source: Path | Remote
    target: Path | Remote
    name: str
    target_name: str


@dataclass(frozen=True)
class Refusal:
    """What lies in the source folder and will not be translated, and why in one sentence."""

    name: str
    reason: str


@dataclass(frozen=True)
class Plan:
    """What a batch is to do, in the order of the names. source, target: the two folders, paths absolute. passed_over:
    how many files of which kind are neither translated nor refused, such as {"hidden": 2}."""

    source: Path | Remote
    target: Path | Remote
    items: tuple[Item | RemoteItem, ...]
    refused: tuple[Refusal, ...]
    passed_over: Mapping[str, int] = field(default_factory=dict)


def make_plan(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    glob: str = "*",
    recursive: bool = True,
    format: Format = "keep",
) -> Plan:
    """Plan the translation of a folder: its tree is mirrored, names are kept but for what `format` asks.

    source, target: paths, or URLs of any file system that fsspec has; see remote.py.

    glob: which pictures; compared with a file's name or, where it has a slash, with its path inside the folder; *
    stands for any letters, slashes too, and the case of letters does not count. Hidden files and folders are left out,
    and so are the target folder and all in it. Links are followed to files inside the source folder only; folders there
    are found without them. Results of earlier calls that lie among their sources are passed over; on this machine only,
    since they have to be opened.

    format: "keep" is the source's own, PNG where that cannot be written. For two pictures that would get one name
    see naming.name_targets. Raises ValueError with one sentence.
    """
    if PurePosixPath(glob).is_absolute() or ".." in PurePosixPath(glob).parts:
        raise ValueError(f"--glob looks inside the source folder only, {glob} leads out of it")
    sources, results = parse_location(source), parse_location(target)
    if isinstance(sources, Path) and not sources.is_dir():
        raise ValueError(
            f"{sources.name} is not a folder" if os.path.lexists(sources) else f"there is no folder {sources.name}"
        )
    if contains(sources, results) and contains(results, sources):
        raise ValueError("the target folder is the source folder; results need another one")
    if isinstance(results, Path) and os.path.lexists(results) and not results.is_dir():
        raise ValueError(f"{results.name} is a file; results need a folder")
    if isinstance(results, Remote) and protocol(results.url) == "hf":
        raise ValueError("on the Hub each result would be a commit; translate into a folder, then use hf upload")
    refused: list[Refusal] = []
    names: list[str] = []
    passed: Counter[str] = Counter()
    found = (
        sources.pictures(results, recursive)
        if isinstance(sources, Remote)
        else _pictures(sources, results, recursive, passed)
    )
    pattern = name_key(glob)
    for name, reason in found:
        if is_image_name(name) and not fnmatchcase(
            name_key(name if "/" in glob else PurePosixPath(name).name), pattern
        ):
            passed["not named so"] += 1
            continue
        if reason is None:
            names.append(name)
        else:
            refused.append(Refusal(name, reason))
    if isinstance(sources, Path):
        own = own_results([sources / name for name in names])
        passed["made by cf-translate from others of them"] += len(own)
        names = [name for name in names if sources / name not in own]
    targets, clashes = name_targets(names, format)
    refused += [Refusal(name, reason) for name, reason in clashes.items()]
    around = contains(results, sources)
    items: list[Item | RemoteItem] = []
    for name, target_name in targets.items():
        if around and contains(sources, results / target_name):
            refused.append(Refusal(name, "its result would lie in the source folder, among the pictures to translate"))
        elif isinstance(sources, Path) and isinstance(results, Path):
            items.append(Item(sources / name, results / target_name, name, target_name))
        else:
            items.append(RemoteItem(sources / name, results / target_name, name, target_name))
    sorted_refusals = tuple(sorted(refused, key=lambda refusal: refusal.name))
    return Plan(sources, results, tuple(items), sorted_refusals, +passed)


@dataclass(frozen=True)
class FilePlan:
    """What is to be done with single files. passed_over: results of others of them."""

    items: tuple[Item, ...]
    refused: tuple[Refusal, ...]
    passed_over: tuple[Refusal, ...]


def check_outputs(sources: Sequence[Path], output: Output | None, gif: Path | None, sheets: Sequence[Path]) -> None:
    """Look at the files that are to be written before anything is read. gif: an animation; sheets: further pictures;
    both take one source. Raises ValueError with one sentence."""
    if len(sources) > 1 and (gif or sheets):
        raise ValueError("--gif, --strip and --saliency take one picture at a time")
    if output is not None and not output.is_folder:
        name = output.path.name
        if len(sources) > 1:
            raise ValueError(f"{name} is a file name; give a folder for several pictures, such as {name}/")
        if not can_save(output.path):
            raise ValueError(f"{name} does not end like a picture that can be saved; for a folder write {name}/")
    if gif is not None and gif.suffix.lower() != ".gif":
        raise ValueError(f"--gif wants a name that ends with .gif, not {gif.name}")
    for path in sheets:
        if not can_save(path):
            raise ValueError(f"{path.name} does not end like a picture that can be saved")


def plan_files(sources: Sequence[Path], output: Output | None, label: str, extras: Sequence[Path] = ()) -> FilePlan:
    """Plan the translation of single files; see naming.result_path for where their results go.

    A file that cf-translate did not make is replaced only where `output` names it. Two sources never share a result,
    and no result replaces a source. extras: further pictures that are made of the first source. Raises ValueError,
    with one sentence, where one of them would replace another file of this plan.
    """
    items: list[Item] = []
    refused: list[Refusal] = []
    own = own_results(sources) if len(sources) > 1 else {}
    sources = [path for path in dict.fromkeys(sources) if path not in own]
    unnamed = output is None or output.is_folder
    all_sources, owned = {real_path(path) for path in sources}, set[Path]()
    for path in sources:
        target = result_path(path, output, label)
        place = real_path(target)
        if place in all_sources - {real_path(path)}:
            reason = f"its result would write over {target.name}, another source"
        elif place in owned:
            reason = f"another picture of this call is already saved as {target.name}"
        elif unnamed and os.path.lexists(target) and place != real_path(path) and not read_provenance(target):
            reason = f"{target.name} is there already and was not made by cf-translate; -o names another place"
        else:
            owned.add(place)
            items.append(Item(path, target, path.name, target.name))
            continue
        refused.append(Refusal(path.name, reason))
    for extra in extras:
        if real_path(extra) in all_sources | owned | {real_path(path) for path in own}:
            raise ValueError(f"{extra.name} would write over another picture of this call")
        if extra.is_dir():
            raise ValueError(f"{extra.name} is a folder")
        owned.add(real_path(extra))
    passed = tuple(Refusal(path.name, f"left out, it is a result of {origin.name}") for path, origin in own.items())
    return FilePlan(tuple(items), tuple(refused), passed)


def _pictures(
    source: Path, target: Path | Remote, recursive: bool, passed: Counter[str]
) -> Iterator[tuple[str, str | None]]:
    """The paths in the folder of what by its name is a picture, and of folders that cannot be entered; with a reason
    where one is refused. passed: counts the other files."""
    locked: list[Path] = []
    for folder, folders, files in os.walk(source, onerror=lambda error: locked.append(Path(error.filename))):
        inner = [Path(folder, name) for name in sorted(folders) if recursive and is_shown(name)]
        folders[:] = [path.name for path in inner if not path.is_symlink() and path != target]
        for path in inner:
            if path.is_symlink() and source not in (end := real_path(path), *end.parents):
                yield path.relative_to(source).as_posix(), "this is a link that leads out of the source folder"
        for name in sorted(files):
            if name.startswith("."):
                passed["hidden"] += 1
            elif not is_image_name(name):
                passed["no picture by its name"] += 1
            else:
                path = Path(folder, name)
                yield path.relative_to(source).as_posix(), _why_not(path, source)
    for path in locked:
        yield path.relative_to(source).as_posix(), "this folder may not be read"


def _why_not(path: Path, source: Path) -> str | None:
    try:
        end = Path(os.path.realpath(path, strict=True))
    except OSError:
        return "this is a link to nowhere"
    if source not in end.parents:
        return "this is a link that leads out of the source folder"
    return None if end.is_file() else "this is not an ordinary file"
