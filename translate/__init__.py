"""What is done with pictures: `from translate import Translator, fit`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from translate.pipeline import Translator
    from translate.training.fit import fit

__version__ = "0.3.0"
__all__ = ["Translator", "fit"]


def __getattr__(name: str) -> Any:
    # Both bring torch, which takes a second; those who only open pictures do not wait for it.
    if name == "Translator":
        from translate.pipeline import Translator

        return Translator
    if name == "fit":
        from translate.training.fit import fit

        return fit
    raise AttributeError(f"module 'translate' has no attribute {name!r}")
