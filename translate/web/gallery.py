"""What the page shows of each direction before anybody has sent a photo: photos to try, and one of them translated."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from PIL import Image, ImageOps

from translate.pipeline import Translator
from translate.web.service import TranslationService

# Words that a domain's name may begin with -> what stands for it where there is no picture of it.
KINDS = {"apple": "🍎", "orange": "🍊", "photo": "📷", "van gogh": "🎨", "cat": "🐱", "dog": "🐶"}
CARD, SHOWN = 240, 720  # px, longer sides: of the picture to choose a direction by, and of the one that is shown large


@dataclass(frozen=True)
class DirectionCard:
    """A direction as it presents itself.

    label: from what to what. examples: photos to try. card: the first of them before and after, small, as CSS for a
    ::before; signs for the two domains where there is no example.
    """

    name: str
    label: str
    examples: tuple[Path, ...]
    card: str
    translator: Translator = field(repr=False)

    @cached_property
    def shown(self) -> tuple[Image.Image, Image.Image] | None:
        """An example before and after, large; made when it is first asked for. None where there is no example."""
        if not self.examples:
            return None
        return before_and_after(self.translator, self.examples[min(1, len(self.examples) - 1)], SHOWN)


def direction_card(service: TranslationService, translator: Translator, samples: Path) -> DirectionCard:
    """samples: a folder of pictures whose names begin with their kind."""
    source, target = translator.config.source or translator.name, translator.config.target
    found = _photos(kind(source), samples)
    examples = tuple(path for path in found if not service.advice(path, translator.name))
    card = _split(*before_and_after(translator, examples[0], CARD)) if examples else _words(source, target)
    label = f"{source[:1].upper()}{source[1:]} → {target}"
    return DirectionCard(translator.name, label, examples, card, translator)


def kind(domain: str) -> str:
    """Which of KINDS a domain is of; empty for others."""
    return next((kind for kind in KINDS if domain.lower().startswith(kind)), "")


def side_by_side(names: Sequence[str]) -> list[str]:
    """The same names, those of opposite directions next to each other."""
    ordered: list[str] = []
    for name in names:
        source, _, target = name.partition("2")
        ordered += [other for other in (name, f"{target}2{source}") if other in names and other not in ordered]
    return ordered


def before_and_after(translator: Translator, example: Path, side: int) -> tuple[Image.Image, Image.Image]:
    """A photo cut to 3 : 2, its longer side `side` px, and what becomes of it."""
    with Image.open(example) as picture:
        before = ImageOps.fit(picture.convert("RGB"), (side, side * 2 // 3))
    return before, translator(before, size=translator.config.schedule.finest // (1 if side > CARD else 2)).picture


def _photos(kind: str, samples: Path) -> list[Path]:
    return sorted(samples.glob(f"{kind}*.jpg")) if kind else []


def _split(before: Image.Image, after: Image.Image) -> str:
    both, (width, height) = before.copy(), before.size
    both.paste(after.crop((width // 2, 0, width, height)), (width // 2, 0))
    stream = io.BytesIO()
    both.save(stream, "JPEG", quality=85)
    return f"background-image: url(data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()})"


def _words(source: str, target: str) -> str:
    return f'content: "{KINDS.get(kind(source), "")}→{KINDS.get(kind(target), "")}" / ""'  # nothing to read out
