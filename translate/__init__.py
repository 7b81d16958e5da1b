"""What is done with pictures: `from translate import Translator, SamplingOptions, Domains, fit`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from translate.options import SamplingOptions
    from translate.pipeline import Translator
    from translate.training.fit import Domains, fit

__version__ = "0.6.0"
__all__ = ["Domains", "SamplingOptions", "Translator", "fit"]

# Some bring torch, which takes seconds; those who only open pictures do not wait for it.
_HOMES = {
    "Domains": "translate.training.fit",
    "SamplingOptions": "translate.options",
    "Translator": "translate.pipeline",
    "fit": "translate.training.fit",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'translate' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
