"""The voting page: a small server for this machine alone. A vote is on the disk before the next row is shown.

GET  /                          the page
GET  /state                     {"rows": N, "votes": {row: {"vote", "left", "right"}}}
GET  /picture/ROW/left.png      also source, right; the pixels alone, whatever the file is called or says of itself
POST /vote                      {"row", "vote": "L" | "R" | "T", "left": 1..5 or null, "right"} -> as /state
GET  /tally                     {"sentences": [...]}, once all rows are voted on
"""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import lru_cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any

from translate.images.types import ImageError
from translate.panel.rows import Panel
from translate.panel.sheets import shown
from translate.panel.tally import Tally, tally
from translate.panel.votes import Vote, Votes, read_votes, votes_file, write_votes

HOST = "127.0.0.1"
SIDE = 512  # pixels that a picture is shown in at most
PLACES = ("left", "source", "right")
_MOST = 10_000  # bytes of a vote


class Ballot:
    """One voter's votes, kept in a file: a new server goes on where the last one stopped.

    Raises ValueError for a file that holds no votes on this panel.
    """

    def __init__(self, panel: Panel, path: Path) -> None:
        self.panel, self.path = panel, path
        self._lock = threading.Lock()
        self.votes: Votes = read_votes(path, len(panel.rows)) if path.exists() else {}

    def add(self, row: int, vote: Vote) -> None:
        """Write it. Raises ValueError where there is no such row, OSError where it cannot be written."""
        if not 1 <= row <= len(self.panel.rows):
            raise ValueError(f"there is no row {row}")
        with self._lock:
            votes = {**self.votes, row: vote}
            write_votes(self.path, votes, len(self.panel.rows))
            self.votes = votes

    @property
    def complete(self) -> bool:
        return len(self.votes) == len(self.panel.rows)

    def state(self) -> dict[str, Any]:
        return {"rows": len(self.panel.rows), "votes": {row: asdict(vote) for row, vote in self.votes.items()}}


@contextmanager
def serving(ballot: Ballot, port: int = 0) -> Iterator[str]:
    """Serve the page while the block runs, and tell its address. port 0: a free one. Raises OSError."""
    server = ThreadingHTTPServer((HOST, port), _handler(ballot))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def vote(
    panel: Panel, folder: Path, voter: str, *, port: int = 0, say: Callable[[str], None], stop: Callable[[], bool]
) -> Tally | None:
    """Serve the page until stop() is true. Returns the voter's tally, or None while there are rows without a vote.

    folder: the panel's, for the votes. Raises ValueError, OSError.
    """
    ballot = Ballot(panel, votes_file(folder, voter))
    with serving(ballot, port) as address:
        say(f"{len(panel.rows)} rows; vote at {address} until Ctrl-C; votes go to {ballot.path}")
        while not stop():
            time.sleep(0.2)
    if ballot.complete:
        return tally(panel, [ballot.votes])
    say(f"{len(ballot.votes)} of {len(panel.rows)} rows have a vote; the same command goes on from here")
    return None


def _handler(ballot: Ballot) -> type[BaseHTTPRequestHandler]:
    where = ballot.panel.files()

    @lru_cache(maxsize=30)
    def picture(row: int, place: int) -> bytes:
        png = io.BytesIO()
        shown(where[row - 1][place], SIDE).save(png, "PNG", compress_level=1)
        return png.getvalue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not self._is_local():
                return
            match self.path.strip("/").split("/"):
                case [""]:
                    self._send(files("translate.panel").joinpath("page.html").read_bytes(), "text/html; charset=utf-8")
                case ["state"]:
                    self._tell(ballot.state())
                case ["tally"] if ballot.complete:
                    self._tell({"sentences": tally(ballot.panel, [ballot.votes]).sentences()})
                case ["tally"]:
                    self._tell({"error": "there are rows without a vote"}, HTTPStatus.CONFLICT)
                case ["picture", row, name] if row.isdecimal() and name.removesuffix(".png") in PLACES:
                    self._picture(int(row), PLACES.index(name.removesuffix(".png")))
                case _:
                    self._tell({"error": "there is nothing here"}, HTTPStatus.NOT_FOUND)

        def do_POST(self) -> None:
            if not self._is_local():
                return
            try:
                length = int(self.headers.get("Content-Length", 0))
                if self.path != "/vote" or not 0 < length <= _MOST:
                    raise ValueError("a vote goes to /vote")
                told = json.loads(self.rfile.read(length))
                vote = Vote.parse(told)
                if vote is None:
                    raise ValueError("a vote is L, R or T")
                ballot.add(int(told["row"]), vote)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                self._tell({"error": str(error)}, HTTPStatus.BAD_REQUEST)
            except OSError as error:
                self._tell({"error": f"the vote cannot be written: {error.strerror}"}, HTTPStatus.INSUFFICIENT_STORAGE)
            else:
                self._tell(ballot.state())

        def _picture(self, row: int, place: int) -> None:
            if not 1 <= row <= len(where):
                self._tell({"error": f"there is no row {row}"}, HTTPStatus.NOT_FOUND)
                return
            try:
                self._send(picture(row, place), "image/png")
            except ImageError:  # its name would tell whose it is
                self._tell({"error": "this picture can no longer be read"}, HTTPStatus.GONE)

        def _is_local(self) -> bool:
            """Other sites' pages, which a browser here may show, are told nothing and may not vote."""
            assert isinstance(self.server, ThreadingHTTPServer)
            own = f"{HOST}:{self.server.server_port}"
            local = {own, own.replace(HOST, "localhost")}
            origin = self.headers.get("Origin")
            if self.headers.get("Host") in local and (origin is None or origin.partition("://")[2] in local):
                return True
            self._tell({"error": "only pages of this machine are answered"}, HTTPStatus.FORBIDDEN)
            return False

        def _tell(self, told: dict[str, Any], status: HTTPStatus = HTTPStatus.OK) -> None:
            self._send(json.dumps(told).encode(), "application/json", status)

        def _send(self, body: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK) -> None:
            with suppress(ConnectionError):  # a page that was left in the middle
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Cache-Control", "no-store")
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:
            """Nothing: the terminal is for people."""

    return Handler
