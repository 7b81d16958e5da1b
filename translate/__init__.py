"""What is done with pictures: `from translate import Translator`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from translate.engine import Translator

__version__ = "0.1.0"
__all__ = ["Translator"]


def __getattr__(name: str) -> Any:
    # The engine brings torch, which takes a second; those who only open pictures do not wait for it.
    if name == "Translator":
        from translate.engine import Translator

        return Translator
    raise AttributeError(f"module 'translate' has no attribute {name!r}")
