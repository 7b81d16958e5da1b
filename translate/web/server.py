"""Around a running page: its folder, its port, and no proxy between it and itself."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Iterator

_PROXY = ("no_proxy", "NO_PROXY")
FIRST_PORT = 7860


@contextlib.contextmanager
def without_proxies() -> Iterator[None]:
    """Requests of this process go straight: gradio asks its own page whether it is there, which no proxy can know."""
    before = {name: os.environ.get(name) for name in _PROXY}
    os.environ.update(dict.fromkeys(_PROXY, "*"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def check_port(port: int, host: str = "127.0.0.1") -> None:
    """Raises OSError, with one sentence, where a port cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host.strip("[]"), port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise OSError(f"port {port} is taken; name another one with --port") from error
            if error.errno in (errno.EACCES, errno.EPERM):
                raise OSError(f"port {port} may not be used by you; take one above 1023") from error
            raise OSError(f"the page cannot answer at {host}, port {port} ({error.strerror})") from error
