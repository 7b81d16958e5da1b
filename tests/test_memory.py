"""Freed memory stays with the process: the next step's tensors cost no page faults."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource
from models.memory import keep_freed_memory
assert keep_freed_memory()
import torch
def step():
    held = [torch.ones(2_000_000) for _ in range(8)]
step(), step(), step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


PAGES = 5 * 8 * 2_000_000 * 4 // 4096  # that five steps fill


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_a_step_takes_the_memory_that_the_one_before_gave_back() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 0.5 * PAGES, "faults of five steps"
