"""How the page looks: the theme, page.css, a card for each direction, and the JavaScript beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import gradio as gr

from translate.web.gallery import DirectionCard


def source_of(name: str) -> str:
    """The text of a file in this folder."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def style(exhibits: Sequence[DirectionCard]) -> str:
    """The looks, with a picture for each direction; only the examples of the chosen one are there to be taken."""
    rules = [source_of("page.css"), f"#direction {{ --cards: {len(exhibits)} }}"]
    last = 0
    for number, shown in enumerate(exhibits, 1):
        first, last = last + 1, last + len(shown.examples)
        rules.append(f"#direction label:nth-of-type({number})::before {{ {shown.card} }}")
        others = f" .gallery-item:not(:nth-child(n + {first}):nth-child(-n + {last}))" if shown.examples else ""
        chosen = f"#direction label:nth-of-type({number}).selected"
        rules.append(f"body:has({chosen}) #examples{others} {{ display: none !important }}")
    return "\n".join(rules)


THEME = gr.themes.Soft(
    primary_hue="orange",
    secondary_hue="orange",
    neutral_hue="stone",
    radius_size="lg",
    font=["system-ui", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
).set(  # white on the theme's own orange, and its grey on white, are too faint to read
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_hover="*primary_800",
    button_primary_background_fill_dark="*primary_700",
    button_primary_background_fill_hover_dark="*primary_800",
    body_background_fill="*neutral_100",
    body_text_color_subdued="*neutral_600",
    body_text_color_subdued_dark="*neutral_300",
    block_title_background_fill="none",
    block_title_background_fill_dark="none",
    block_title_text_color="*body_text_color",
    block_title_text_color_dark="*body_text_color",
    block_title_padding="0",
    block_label_background_fill="*background_fill_primary",
    block_label_background_fill_dark="*neutral_800",
    checkbox_label_background_fill_selected="*primary_700",
    checkbox_label_background_fill_selected_dark="*primary_700",
    block_label_text_color="*body_text_color",
    block_label_text_color_dark="*body_text_color",
)
