"""The whole state of a training as named tensors, and back."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from models.model import part

State = dict[str, Tensor]


def capture(energy: nn.Module, average: nn.Module, optimiser: torch.optim.Optimizer, iteration: int) -> State:
    """A copy of everything that the next update depends on, on the CPU."""
    state = {f"energy.{name}": value for name, value in energy.state_dict().items()}
    state |= {f"average.{name}": value for name, value in average.state_dict().items()}
    for number, moments in optimiser.state_dict()["state"].items():
        state |= {f"adam.{number}.{name}": value for name, value in moments.items()}
    state["random.cpu"] = torch.get_rng_state()
    state["iteration"] = torch.tensor(iteration)
    return {name: value.detach().cpu().clone() for name, value in state.items()}


def restore(
    state: Mapping[str, Tensor], energy: nn.Module, average: nn.Module, optimiser: torch.optim.Optimizer
) -> int:
    """Take a state over; the iteration that it stands at. Without a random state in it, torch's stays as it is.

    Raises KeyError or RuntimeError where it is not whole.
    """
    energy.load_state_dict(part(state, "energy."))
    average.load_state_dict(part(state, "average."))
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in part(state, "adam.").items():
        number, key = name.split(".", 1)
        moments.setdefault(int(number), {})[key] = value.clone()
    optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})
    if "random.cpu" in state:
        torch.set_rng_state(state["random.cpu"])
    return int(state["iteration"])


def without_random(state: Mapping[str, Tensor]) -> State:
    """The state but for the random numbers: the same batches would lead to the same end."""
    return {name: value for name, value in state.items() if not name.startswith("random.")}
