"""A Hub on this machine, for the real huggingface_hub client: what a push and a pull ask for, and ways to go wrong.

It proves nothing about the transfer of large files (Xet), rate limits, or organisations.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from huggingface_hub import constants

TOKEN = "hf_x"
_ROUTE = re.compile(r"/api/(models|datasets|spaces)/([^/]+/[^/]+)(?:/(revision|tree|preupload|commit)/([^/?]+)/?(.*))?")
_FILE = re.compile(r"/(datasets/|spaces/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


@dataclass
class Repository:
    """Its files at each commit; branches and tags by name. Large files are named by SHA-256, small ones as by Git."""

    private: bool = False
    gated: bool = False
    large: bool = True
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    references: dict[str, str] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, bytes]:
        return self.commits[self.references["main"]] if self.references else {}

    def commit(self, files: dict[str, bytes], tag: str | None = None) -> str:
        """A new state on main, with exactly these files. Returns its name."""
        number = hashlib.sha1(repr((len(self.commits), sorted(files))).encode()).hexdigest()
        self.commits[number] = dict(files)
        self.references["main"] = number
        if tag is not None:
            self.references[tag] = number
        return number

    def digest(self, content: bytes) -> str:
        if self.large:
            return hashlib.sha256(content).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class FakeHub:
    """What is there, what was asked, and what goes wrong.

    repositories: by (kind, owner/name), the kind in the plural. created: the bodies of requests for new ones. seen:
    method and path of every request. tampered: files come with a letter changed. cut: files end after so many bytes,
    and the connection with them. gone: after so many bytes of a file nobody answers any more.
    """

    address: str = ""
    repositories: dict[tuple[str, str], Repository] = field(default_factory=dict)
    created: list[dict[str, Any]] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    tampered: bool = False
    cut: int | None = None
    gone: int | None = None
    refuses_commits: bool = False
    dead: bool = False

    def add(self, name: str, files: dict[str, bytes], *, kind: str = "models", **settings: Any) -> Repository:
        repository = self.repositories[kind, name] = Repository(**settings)
        repository.commit(files)
        return repository


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def handle_one_request(self) -> None:
        super().handle_one_request()
        if self.hub.dead:
            self.close_connection = True

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self._asked()
        if path is None:
            return
        if found := _FILE.fullmatch(path):
            prefix, name, revision, file = found.groups()
            self._file((prefix or "models/")[:-1], name, unquote(revision), unquote(file))
        elif found := _ROUTE.fullmatch(path):
            kind, name, what, revision, folder = found.groups()
            repository, commit = self._repository(kind, name, unquote(revision or "main"))
            if repository is not None and commit is not None:
                if what == "tree":
                    self._tree(repository, commit, unquote(folder))
                else:
                    siblings = [{"rfilename": file} for file in repository.commits.get(commit, {})]
                    self._answer({"id": name, "sha": commit, "siblings": siblings, "private": repository.private})
        else:
            self._answer({}, 404)

    def do_POST(self) -> None:
        path, body = self._asked(), self._body()
        if path is None:
            return
        found = _ROUTE.fullmatch(path)
        if path == "/api/repos/create":
            asked = json.loads(body)
            kind = asked.get("type", "model") + "s"
            name = "/".join(part for part in (asked.get("organization"), asked["name"]) if part)
            if (kind, name) in self.hub.repositories:
                self._answer({"url": f"{self.hub.address}/{name}"}, 409)
                return
            self.hub.created.append(asked)
            private = asked.get("private", asked.get("visibility") == "private")  # older clients, newer ones
            self.hub.repositories[kind, name] = Repository(private=private)
            self._answer({"url": f"{self.hub.address}/{'' if kind == 'models' else kind + '/'}{name}"})
        elif found and found[3] == "preupload":
            names = [file["path"] for file in json.loads(body)["files"]]
            self._answer({"files": [{"path": n, "uploadMode": "regular", "shouldIgnore": False} for n in names]})
        elif found and found[3] == "commit":
            if self.hub.refuses_commits:
                self._answer({"error": "no space left"}, 500)
                return
            repository = self.hub.repositories[found[1], found[2]]
            files = dict(repository.files)
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                elif line["key"] == "deletedFile":
                    del files[line["value"]["path"]]
            number = repository.commit(files)
            self._answer({"commitUrl": f"{self.hub.address}/{found[2]}/commit/{number}", "commitOid": number})
        else:  # validate-yaml
            self._answer({})

    def _asked(self) -> str | None:
        self.hub.seen.append(f"{self.command} {self.path}")
        if self.hub.dead:
            self.close_connection = True
            return None
        return urlsplit(self.path).path

    def _repository(self, kind: str, name: str, revision: str) -> tuple[Repository | None, str | None]:
        repository = self.hub.repositories.get((kind, name))
        known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if repository is None or (repository.private and not known):
            self._answer({}, 404 if known else 401, {"X-Error-Code": "RepoNotFound"})
        elif repository.gated:
            self._answer({}, 403 if known else 401, {"X-Error-Code": "GatedRepo"})
        else:
            commit = repository.references.get(revision, revision)
            if commit in repository.commits or not repository.commits:
                return repository, commit
            self._answer({}, 404, {"X-Error-Code": "RevisionNotFound"})
        return None, None

    def _file(self, kind: str, name: str, revision: str, file: str) -> None:
        repository, commit = self._repository(kind, name, revision)
        if repository is None or commit is None:
            return
        content = repository.commits[commit].get(file)
        headers = {"X-Repo-Commit": commit}
        if content is None:
            self._answer({}, 404, {**headers, "X-Error-Code": "EntryNotFound"})
            return
        headers |= {"ETag": f'"{repository.digest(content)}"', "Content-Type": "application/octet-stream"}
        if self.hub.tampered:
            content = bytes([content[0] ^ 1]) + content[1:]
        end = self.hub.cut if self.hub.cut is not None else self.hub.gone
        self._send(200, content, headers, None if end is None else content[:end])
        if self.command == "GET" and self.hub.gone is not None:
            self.hub.dead = True

    def _tree(self, repository: Repository, commit: str, folder: str) -> None:
        deep = "recursive=true" in self.path.lower()
        prefix = folder.rstrip("/") + "/" if folder else ""
        rows: dict[str, dict[str, Any]] = {}
        for file, content in sorted(repository.commits.get(commit, {}).items()):
            if file.startswith(prefix):
                parts = file.removeprefix(prefix).split("/")
                for depth in range(1, len(parts) if deep else min(2, len(parts))):
                    path = prefix + "/".join(parts[:depth])
                    rows[path] = {"type": "directory", "path": path, "size": 0, "oid": "1" * 40}
                if deep or len(parts) == 1:
                    oid = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
                    rows[file] = {"type": "file", "path": file, "size": len(content), "oid": oid}
        if prefix and not rows:
            self._answer({}, 404, {"X-Error-Code": "EntryNotFound"})
        else:
            self._answer(list(rows.values()))

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _answer(self, value: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _send(self, status: int, content: bytes, headers: dict[str, str], part: bytes | None = None) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content if part is None else part)
            self.close_connection = part is not None

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def fake_hub() -> Iterator[FakeHub]:
    """A Hub that answers on a free port of this machine until the block ends."""
    hub = FakeHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def point_client(monkeypatch: pytest.MonkeyPatch, address: str, cache: Path | None = None) -> None:
    """Let the client in this very process, which reads its environment only once, ask at `address`."""
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    if cache is not None:
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", "/nowhere/token")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
