"""Options that several commands share, spelled out once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def opt(text: str, *names: str, **rules: Any) -> Any:
    """An option with its help."""
    return typer.Option(*names, help=text, **rules)


def arg(text: str, **rules: Any) -> Any:
    """An argument with its help."""
    return typer.Argument(help=text, show_default=False, **rules)


OptionalPath = Path | None
ModelName = Annotated[str, opt("A shipped name, a file, a run folder, or owner/name on the Hub.", "--model", "-m")]
AnyModel = Annotated[str, arg("A shipped name, a file, a run folder, or owner/name on the Hub.")]
Device = Annotated[str, opt("auto, cpu, cuda or mps.")]
Strength = Annotated[float | None, opt("Length of the chain. Default: the model's own.", min=0, max=2)]
Steps = Annotated[int | None, opt("Steps of each level at strength 1. Levels without steps stay so.", min=0, max=1000)]
Size = Annotated[int | None, opt("Short side of the copy that the chain works on, in pixels.")]
Seed = Annotated[int, opt("Random seed. The same seed gives the same result.", min=0, max=2**63 - 1)]
Fast = Annotated[bool, opt("One pass of the model's student in the place of the chain.", "--fast")]
KeepMetadata = Annotated[bool, opt("Keep the EXIF of the sources, without the place.", "--keep-metadata")]
Json = Annotated[bool, opt("Machine-readable results on stdout.", "--json")]
