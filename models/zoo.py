"""Names of models -> files: shipped with the project, on this disk, or on the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path

from models.checkpoint import FILE_NAME, BadModel

SHIPPED = Path(__file__).parent / "weights"
CARDS = Path(__file__).parent / "cards"


def shipped() -> list[str]:
    """Names of the models that come with the project, sorted."""
    return sorted(path.stem for path in SHIPPED.glob("*.safetensors"))


def card(name: str) -> str | None:
    """The model card of a shipped model, Markdown, or None where there is none."""
    path = CARDS / f"{name}.md"
    return path.read_text(encoding="utf-8") if name in shipped() and path.exists() else None


def locate(name: str) -> Path:
    """The file of a model: a shipped name, a file, a run folder, or owner/name on the Hub, tried in this order.

    Raises BadModel with a sentence that lists what is known.
    """
    if not name:
        raise BadModel(f"a model needs a name; known are: {', '.join(shipped())}")
    if name in shipped():
        return SHIPPED / f"{name}.safetensors"
    path = Path(name)
    if path.is_file():
        return path
    if path.is_dir():
        if (path / FILE_NAME).is_file():
            return path / FILE_NAME
        raise BadModel(f"the folder {name} holds no {FILE_NAME}")
    if name.count("/") == 1 and not name.startswith((".", "/")) and path.suffix != ".safetensors":
        return _from_hub(name)
    known = ", ".join(shipped()) or "none yet"
    raise BadModel(f"there is no model named {name}; known are: {known}; or give a file, a run folder or owner/name")


def _from_hub(name: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        try:
            return Path(hf_hub_download(name, FILE_NAME, local_files_only=True))
        except LocalEntryNotFoundError:
            return Path(hf_hub_download(name, FILE_NAME))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise BadModel(
            f"no model {name} here or on the Hub could be had ({type(error).__name__}); "
            f"shipped are: {', '.join(shipped())}"
        ) from error
