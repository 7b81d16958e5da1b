"""From a fresh checkout to a result, with Python and nothing else:

python3 dev.py demo [PHOTO...] [-m MODEL]    translate the sample pictures, or photos of one's own
python3 dev.py test [pytest arguments]       ruff (rules and format), mypy and pytest in two processes (-n 0: in one)

The first call makes .venv and installs the project there, at the versions of constraints.txt.
Later calls start at once.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = ROOT / ".venv"
SCRIPTS = ENVIRONMENT / ("Scripts" if sys.platform == "win32" else "bin")
PYTHON = SCRIPTS / ("python.exe" if sys.platform == "win32" else "python")
COMMAND = SCRIPTS / ("cf-translate.exe" if sys.platform == "win32" else "cf-translate")
STAMP = ENVIRONMENT / "installed-by-dev"
UNFINISHED = "unfinished"
OLDEST_PYTHON = (3, 10)
WORKERS = min(2, os.cpu_count() or 1)  # processes that share the test files; each takes up to 2 GB


class SetupError(Exception):
    """The environment could not be made; the text is for the user."""


def set_up() -> None:
    """Make or mend `.venv`; does nothing when it is up to date. Raises SetupError."""
    if sys.version_info < OLDEST_PYTHON:
        raise SetupError(
            f"This needs Python {dotted(OLDEST_PYTHON)} or newer, "
            f"and {sys.executable} is Python {dotted(sys.version_info[:2])}."
        )
    wanted = stamp_of_inputs()
    found = STAMP.read_text(encoding="utf-8") if STAMP.is_file() else None
    if found == wanted and PYTHON.is_file() and COMMAND.is_file():
        return
    # An environment without a stamp is somebody's own: it is added to, never emptied.
    same_python = found is None or found.partition(" ")[0] == dotted(sys.version_info[:2])
    if not PYTHON.is_file() or not same_python:
        make_environment()
    install()
    STAMP.write_text(wanted, encoding="utf-8")


def stamp_of_inputs() -> str:
    """The Python version, and a hash of what the environment is made from and where."""
    contents = [(ROOT / name).read_bytes() for name in ("pyproject.toml", "constraints.txt")]
    digest = hashlib.sha256(b"\0".join([*contents, str(ROOT).encode()])).hexdigest()
    return f"{dotted(sys.version_info[:2])} {digest}"


def make_environment() -> None:
    say(f"Making {ENVIRONMENT} with Python {dotted(sys.version_info[:2])}.")
    if ENVIRONMENT.exists():
        shutil.rmtree(ENVIRONMENT)
    ENVIRONMENT.mkdir()
    STAMP.write_text(UNFINISHED, encoding="utf-8")
    if run([sys.executable, "-m", "venv", ENVIRONMENT]) != 0:
        raise SetupError(
            f"Python could not make {ENVIRONMENT}; its reason stands above. "
            "On Debian and Ubuntu the package python3-venv is often what is missing."
        )


def install() -> None:
    say("Installing the packages: some 6 GB the first time, which takes a few minutes.")
    # Stays behind when the process is killed: the next call then starts over, trusting no half install.
    if STAMP.is_file():
        STAMP.write_text(UNFINISHED, encoding="utf-8")
    pip: list[str | Path] = [PYTHON, "-m", "pip", "--disable-pip-version-check", "install"]
    if run([*pip, "-c", ROOT / "constraints.txt", "-e", f"{ROOT}[docs,evaluate,test]"]) != 0:
        STAMP.unlink(missing_ok=True)
        raise SetupError(
            "pip could not install the packages; its reason stands above. It needs the network and 10 GB "
            "of free disk space. Run the same command again when that is mended."
        )


def demo(photos: Sequence[Path], model: str) -> int:
    """Translate the photos, or the samples by the five directions, into demo/, with an animation of the first one."""
    jobs = {model: list(photos)} if photos else samples()
    results = ROOT / "demo"
    results.mkdir(exist_ok=True)
    statuses: list[int] = []
    for name, pictures in jobs.items():
        translate: list[str | Path] = [COMMAND, "translate", "-m", name, "-o", results]
        if not statuses:
            first = pictures.pop(0)
            statuses.append(run([*translate, "--gif", results / f"{first.stem}.gif", first]))
        if pictures:
            statuses.append(run([*translate, *pictures]))
    if 0 in statuses:
        say(f"The results are in {results}")
    return first_failure(statuses)


def samples() -> dict[str, list[Path]]:
    """Model -> the sample pictures it is for, whose names begin with what it starts from."""
    kinds = {"cat2dog": "cat", "dog2cat": "dog", "apple2orange": "apple", "orange2apple": "orange"}
    return {
        model: sorted((ROOT / "samples").glob(f"{kind}*.jpg"))
        for model, kind in {**kinds, "photo2vangogh": "photo"}.items()
    }


def test(pytest_arguments: Sequence[str]) -> int:
    """Run all three checks even if one fails; the exit status is that of the first that failed."""
    pytest = ["pytest", "-n", str(WORKERS), "--dist", "loadfile", *pytest_arguments]
    checks = [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"], pytest]
    statuses = {}
    for check in checks:
        say(" ".join(check))
        statuses[" ".join(check[:2])] = run([PYTHON, "-m", *check], cwd=ROOT, threads=1)
    failed = ", ".join(name for name, status in statuses.items() if status != 0)
    say(f"Failed: {failed}." if failed else "All checks passed.")
    return first_failure(statuses.values())


def first_failure(statuses: Iterable[int]) -> int:
    return next((status for status in statuses if status != 0), 0)


def run(command: Sequence[str | Path], cwd: Path | None = None, threads: int | None = None) -> int:
    """threads: how many torch may take; by default as many as it likes."""
    environment = {**os.environ, **({} if threads is None else {"OMP_NUM_THREADS": str(threads)})}
    return subprocess.run([str(part) for part in command], cwd=cwd, env=environment, check=False).returncode


def say(text: str) -> None:
    print(f"== {text}", file=sys.stderr, flush=True)


def dotted(version: Iterable[int]) -> str:
    return ".".join(map(str, version))


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="dev.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    demo_parser = commands.add_parser("demo", help="translate the sample pictures, or PHOTOs")
    demo_parser.add_argument("photos", metavar="PHOTO", nargs="*", type=Path)
    demo_parser.add_argument("-m", "--model", help="for PHOTOs: a name, a file, a folder or owner/name")
    commands.add_parser("test", help="ruff, mypy and pytest; further arguments go to pytest", add_help=False)
    options, rest = parser.parse_known_args(arguments)
    if rest and options.command != "test":
        parser.error(f"unknown arguments: {' '.join(rest)}")
    if options.command == "demo" and options.model and not options.photos:
        parser.error("--model needs a PHOTO")
    try:
        set_up()
        if options.command == "test":
            return test(rest)
        return demo(options.photos, options.model or "apple2orange")
    except SetupError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("Interrupted; the same command starts it again.")
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
