"""Put the web page on Hugging Face as a Space: python space/publish.py OWNER/NAME [--private] [--yes]

Gathers the page, the two packages with weights and cards, the samples, and README.md and requirements.txt of this
folder, shows what would leave this machine and asks. Needs a token: HF_TOKEN, or what `hf auth login` has stored.
With --into FOLDER nothing leaves the machine: the files are put there, and `python app.py` runs in it. The Hub asks
for a paid plan before it makes a new Space of this kind.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PARTS = (
    "app.py", "LICENSE", "NOTICE",
    "models/**/*.py",
    "models/weights/*.safetensors", "models/weights/trunk/*", "models/cards/*.md",
    "translate/**/*.py", "translate/web/*.css", "translate/web/*.js", "samples/*.jpg", "samples/README.md",
)  # fmt: skip
OWN = ("README.md", "requirements.txt")


def assemble(folder: Path) -> list[Path]:
    """Copy all that a Space needs into `folder`. Returns the files, relative to it, sorted."""
    files = {path.relative_to(ROOT): path for part in PARTS for path in ROOT.glob(part)}
    files |= {Path(name): ROOT / "space" / name for name in OWN}
    for name, source in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, folder / name)
    return sorted(files)


def publish(folder: Path, space: str, private: bool) -> str:
    """Make the Space what `folder` is; files that it had and `folder` has not are deleted. Returns its address.

    Raises what huggingface_hub and the network raise.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    address = str(api.create_repo(space, repo_type="space", space_sdk="gradio", private=private, exist_ok=True))
    api.upload_folder(
        repo_id=space, repo_type="space", folder_path=folder, delete_patterns="*", commit_message="Update the page"
    )
    return address


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("space", nargs="?", metavar="OWNER/NAME")
    parser.add_argument("--private", action="store_true", help="for a new Space: only you see it")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--into", type=Path, metavar="FOLDER", help="put the files there instead")
    options = parser.parse_args(arguments)
    if (options.space is None) == (options.into is None):
        parser.error("give either OWNER/NAME or --into FOLDER")
    if options.into is not None:
        print(f"{len(assemble(options.into))} files in {options.into}")
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = assemble(folder)
        size = sum((folder / file).stat().st_size for file in files) / 1e6
        print(*files, sep="\n")
        print(f"{len(files)} files, {size:.1f} MB, go to the Space {options.space}; what else is there is deleted.")
        if not options.yes and input("Send them? [y/N] ").strip().lower() not in ("y", "yes"):
            print("Nothing was sent.")
            return 1
        try:
            print(f"The Space is at {publish(folder, options.space, options.private)}")
        except Exception as error:  # of the Hub, of the network, or of this disk
            print(f"error: the Space could not be updated: {str(error).strip().splitlines()[0]}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (KeyboardInterrupt, EOFError):
        sys.exit("Nothing was sent.")
