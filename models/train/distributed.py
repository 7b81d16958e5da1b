"""Several processes that train one energy together, each on its slice of every batch.

Every process draws the same joint batch from the same seed and takes its slice; one explicit all_reduce averages the
gradients before each update. So the result is that of one process with the joint batch, but for rounding, and a run
may be resumed with another number of processes.

Not by DistributedDataParallel: it hooks itself onto one forward pass and its backward, whereas an update here sums
several forward passes (targets and chain ends of every stage) into one backward, and the R1 penalty differentiates
through torch.autograd.grad, which its documentation rules out. The network is small enough for one message an update.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class World:
    """This process among those that train together: `rank` in 0 .. count - 1. Number 0 writes everything.

    The methods are collective where there are several: all processes must call them, in the same order. They raise
    ConnectionError where another process is gone.
    """

    rank: int = 0
    count: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    def check(self, batches: Sequence[int]) -> None:
        """Raises ValueError where one of these batches cannot be cut into equal slices."""
        for batch in batches:
            if batch % self.count:
                raise ValueError(
                    f"a batch of {batch} pictures cannot be shared out evenly among {self.count} processes; "
                    f"choose a number that divides {', '.join(str(size) for size in sorted(set(batches)))}"
                )

    def share(self, batch: Tensor) -> Tensor:
        """This process's slice of a joint batch (B, ...) -> (B / count, ...)."""
        return batch if self.count == 1 else batch.chunk(self.count)[self.rank]

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Put the mean over all processes into each tensor, in place; all of them in one message."""
        if self.count == 1:
            return
        joint = torch.cat([tensor.reshape(-1) for tensor in tensors])
        _all_reduce(joint, dist.ReduceOp.SUM)
        means = (joint / self.count).split([tensor.numel() for tensor in tensors])
        for tensor, mean in zip(tensors, means, strict=True):
            tensor.copy_(mean.view(tensor.shape))

    def any(self, here: bool) -> bool:
        """Whether it is so in at least one process: a decision that all of them take alike."""
        if self.count == 1:
            return here
        flag = torch.tensor(int(here))
        _all_reduce(flag, dist.ReduceOp.MAX)
        return bool(flag)

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """What stands in here is done by the first process, and by the others when that has gone well.

        So they find what it has put on the disk, and what it refuses is said once.
        """
        if not self.is_main:
            self.any(False)
        yield
        if self.is_main:
            self.any(False)


SINGLE = World()


@contextmanager
def init_distributed(device: torch.device) -> Iterator[tuple[World, torch.device]]:
    """Join the processes that torchrun has started (this one alone without it), and give each its own device.

    On the CPU they talk by gloo; on CUDA by NCCL, one GPU each. Raises ValueError where `device` cannot be shared so.
    """
    if not dist.is_available() or not dist.is_torchelastic_launched():
        yield SINGLE, device
        return
    if device.type == "cuda":
        local, there = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if local >= there:
            raise ValueError(f"each process needs a GPU of its own; there are {there} here")
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    elif device.type != "cpu":
        raise ValueError(f"several processes train on cpu or cuda, not on {device.type}")
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    try:
        yield World(dist.get_rank(), dist.get_world_size()), device
    finally:
        dist.destroy_process_group()


def _all_reduce(tensor: Tensor, operation: dist.ReduceOp.RedOpType) -> None:
    try:
        dist.all_reduce(tensor, operation)
    except RuntimeError as error:
        raise ConnectionError("another process of this training is gone; its own message says why") from error
