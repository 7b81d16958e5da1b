"""Names of models -> files: on this disk, shipped with the project, or on the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path

from models.errors import BadModel
from models.names import FILE_NAME, SUFFIX

SHIPPED = Path(__file__).parent / "weights"
CARDS = Path(__file__).parent / "cards"


def shipped() -> list[str]:
    """Names of the models that come with the project, sorted."""
    return sorted(path.stem for path in SHIPPED.glob("*.safetensors"))


def card(name: str) -> str | None:
    """The card, Markdown, of a shipped model or of one that was fetched from the Hub; None where there is none."""
    if local(name) is not None:
        return None
    if name in shipped():
        path = CARDS / f"{name}.md"
        return path.read_text(encoding="utf-8") if path.exists() else None
    if not _like_on_the_hub(name):
        return None
    from models import hub

    return hub.card(hub.parse_name(name))


def local(name: str) -> Path | None:
    """The model file that a path stands for: itself, or the one in a run folder; None for what is no such path."""
    path = Path(name)
    if path.is_dir():
        path /= FILE_NAME
    return path if name and path.is_file() else None


def locate(name: str) -> Path:
    """The file of a model: an existing file or run folder, a shipped name, or owner/name on the Hub, tried in this
    order; on the Hub with @revision for another than the newest, and nobody is asked for what was fetched before.

    Raises BadModel with one sentence.
    """
    if not name:
        raise BadModel(f"a model needs a name; known are: {', '.join(shipped())}")
    if (path := local(name)) is not None:
        return path
    if name in shipped():
        return SHIPPED / f"{name}.safetensors"
    if Path(name).is_dir():
        raise BadModel(f"the folder {name} holds no {FILE_NAME}")
    if _like_on_the_hub(name):
        from models import hub

        there = hub.parse_name(name)
        try:
            return hub.model_file(there)
        except hub.HubError as error:
            reason = f"there is no file or folder {name}, so it was looked for on the Hub: {error}"
            raise hub.HubError(reason) from error
    if len(Path(name).parts) > 1 or Path(name).suffix == SUFFIX:
        raise BadModel(f"there is no file or folder {name}")
    known = ", ".join(shipped()) or "none yet"
    raise BadModel(f"there is no model named {name}; known are: {known}; or give a file, a run folder or owner/name")


def _like_on_the_hub(name: str) -> bool:
    """Whether a name is meant for the Hub, well formed or not: one slash, and not like a path to a file."""
    repository = name.partition("@")[0]
    return repository.count("/") == 1 and not name.startswith((".", "/", "~")) and not name.endswith(SUFFIX)
