"""Folders of pictures, good and bad, and batches in processes of their own."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from typer.testing import CliRunner, Result

from cli import app
from tests.helpers.image_files import encode
from translate.folders.report import Outcome
from translate.options import FileOptions, SamplingOptions

ROOT = Path(__file__).parents[2]
FAST = FileOptions(SamplingOptions(steps=1, size=16))


def draw(path: Path, size: tuple[int, int] = (40, 30), seed: int = 0, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), np.uint8)
    Image.fromarray(pixels).resize(size).save(path, **options)
    return path


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def statuses(outcomes: dict[str, Outcome]) -> dict[str, str]:
    return {name: outcome.status for name, outcome in sorted(outcomes.items())}


def command(*arguments: object) -> Result:
    environment = {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    return CliRunner(env=environment).invoke(app, ["batch", *map(str, arguments), "--device", "cpu"])


def bad_files(folder: Path) -> list[str]:
    """Ten files that cannot be translated, each for another reason."""

    def png(size: tuple[int, int], data: bytes) -> bytes:
        def chunk(kind: bytes, body: bytes) -> bytes:
            return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

        sides = size[0].to_bytes(4, "big") + size[1].to_bytes(4, "big")
        head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", sides + bytes([1, 0, 0, 0, 0]))
        return head + chunk(b"IDAT", data) + chunk(b"IEND", b"")

    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    contents = {
        "empty.jpg": b"",
        "text.jpg": b"not a picture at all",
        "short.jpg": encode(noise, "JPEG")[:900],
        "short.png": encode(noise, "PNG")[:900],
        "damaged.png": encode(noise, "PNG").replace(b"IDATx", b"IDAT\0"),
        "bomb.png": png((10_000, 10_000), zlib.compress(bytes(10_000 * 1251), 9)),
        "huge.png": png((20_000, 20_000), b""),
        "drawing.png": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        "paper.webp": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3",
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (folder / "link.jpg").symlink_to(folder / "gone.jpg")
    return [*contents, "link.jpg"]


def start(source: Path, target: Path, model: Path, *options: object) -> subprocess.Popen[str]:
    arguments = ["batch", source, target, "-m", model, "--strength", 2, "--steps", 10, "--device", "cpu", *options]
    return subprocess.Popen(
        [sys.executable, ROOT / "cli.py", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(target: Path, count: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 300  # a busy machine takes a minute to import torch in each of Ray's workers
    while len(list(target.glob("*.png"))) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
