"""How the web page fares: python benchmarks/app.py [--visitors 30] [--seconds 120] [--films 55]

Starts app.py on a free port of this machine; with nobody there, measures how soon it answers, how soon the first frame
comes after the button and, with playwright and a Chromium, how soon the page is ready. Some walks then fill the room
that the server keeps for finished ones, whose memory is bounded and not a leak. Then visitors, each in a session
of his own, press Translate again and again, and those who are told that it is busy wait a little. Printed: what they
were told, the page's answering time, and the server's memory. Clients and server share the processors.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[1]
PHOTO = ROOT / "samples" / "apples_on_table.jpg"
BUSY = "Many people are here"
FILMS = 55  # more than the server keeps of such a photo (ROOM in translate/web/service.py)


def main(visitors: int, seconds: float, films: int) -> None:
    with served() as (process, address):
        once = [visit(address) for _ in range(4)][1:]
        print(f"first frame {statistics.median(first for _, first, _ in once):.2f} s after the button, ", end="")
        print(f"done after {statistics.median(last for _, _, last in once):.2f} s")
        page_ready(address)
        for _ in range(films):  # fill the room for films, so that what grows from here on is a leak
            visit(address)

        told: Counter[str] = Counter()
        answers: list[float] = []
        memory: list[float] = []
        end = time.monotonic() + seconds

        def visitor() -> None:
            while time.monotonic() < end:
                try:
                    outcome, _, _ = visit(address)
                except Exception as error:
                    outcome = f"{type(error).__name__}: {error}"
                told[outcome] += 1
                if outcome == "busy":
                    time.sleep(2)

        def looker() -> None:
            with httpx.Client() as client:
                while time.monotonic() < end:
                    begin = time.perf_counter()
                    client.get(address).raise_for_status()
                    answers.append(time.perf_counter() - begin)
                    memory.append(resident(process.pid))
                    time.sleep(0.25)

        threads = [threading.Thread(target=looker), *(threading.Thread(target=visitor) for _ in range(visitors))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(f"{visitors} visitors for {seconds:g} s: " + ", ".join(f"{n} {what}" for what, n in told.most_common()))
        ranks = statistics.quantiles(answers, n=100)
        print(f"the page answers in {1e3 * ranks[49]:.0f} ms (median), {1e3 * ranks[98]:.0f} ms (99 %)")
        quarters = [max(memory[len(memory) * k // 4 : len(memory) * (k + 1) // 4]) for k in range(4)]
        print("memory, at most in each quarter: " + ", ".join(f"{size:.0f}" for size in quarters) + " MB")


@contextmanager
def served() -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}/"
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "GRADIO_SERVER_PORT": str(port), "GRADIO_TEMP_DIR": folder}
        begin = time.perf_counter()
        process = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
        try:
            while process.poll() is None:
                with suppress(httpx.HTTPError):
                    httpx.get(f"{address}gradio_api/app_id").raise_for_status()
                    break
                time.sleep(0.1)
            print(f"answers {time.perf_counter() - begin:.1f} s after the start")
            yield process, address
        finally:
            process.terminate()
            process.wait()


def visit(address: str) -> tuple[str, float, float]:
    """What a visitor is told in the end, and after how many seconds the first frame and the end came."""
    session = os.urandom(8).hex()
    with httpx.Client(base_url=address, timeout=120) as client:
        functions = client.get("config").json()["dependencies"]
        (stream,) = (f["id"] for f in functions if f["api_name"] == "stream")
        path = client.post("gradio_api/upload", files={"files": (PHOTO.name, PHOTO.read_bytes())}).json()[0]
        photo = {"path": path, "meta": {"_type": "gradio.FileData"}}
        begin = time.perf_counter()
        body: dict[str, Any] = {
            "data": [photo, "apple2orange", 1.0, "", 0, False],
            "fn_index": stream,
            "session_hash": session,
        }
        client.post("gradio_api/queue/join", json=body).raise_for_status()
        first, text = float("nan"), ""
        with client.stream("GET", "gradio_api/queue/data", params={"session_hash": session}) as events:
            for line in events.iter_lines():
                if not line.startswith("data: "):
                    continue
                text += line
                if first != first and "image.jpeg" in line:
                    first = time.perf_counter() - begin
                if json.loads(line.removeprefix("data: "))["msg"] in ("process_completed", "unexpected_error"):
                    break
        outcome = "done" if "Drag the slider" in text else "busy" if BUSY in text else text[-200:]
        return outcome, first, time.perf_counter() - begin


def page_ready(address: str) -> None:
    """Until the Translate button can be pressed, in an empty browser."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        program = None
    if program is None:
        print("page ready: not measured, for want of playwright or a Chromium")
        return
    times = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        for _ in range(4):
            page = browser.new_context().new_page()
            begin = time.perf_counter()
            page.goto(address)
            page.get_by_role("button", name="Translate", exact=True).click(trial=True)
            times.append(time.perf_counter() - begin)
            page.context.close()
        browser.close()
    print(f"page ready after {statistics.median(times[1:]):.2f} s ({times[0]:.2f} s for the first visitor)")


def resident(pid: int) -> float:
    """Megabytes of memory that a process holds (Linux)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visitors", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--films", type=int, default=FILMS, help="walks that fill the room before")
    options = parser.parse_args()
    main(options.visitors, options.seconds, options.films)
