"""What several test files share: a tiny model, and the folders of real pictures where they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.checkpoint import ModelConfig, save_model
from models.energy import Energy, EnergyConfig
from models.schedule import Ladder, Stage

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture
def apples2oranges() -> Path:
    """The folder with trainA, trainB, testA, testB of real apples and oranges."""
    folder = SHARED / "data" / "apple2orange"
    if not folder.is_dir():
        pytest.skip("the real apples and oranges are not beside this checkout")
    return folder


@pytest.fixture
def features_file() -> Path:
    path = SHARED / "weights" / "squeezenet1_1_features.npz"
    if not path.is_file():
        pytest.skip("the SqueezeNet features are not beside this checkout")
    return path


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small untrained energy with slopes steep enough to be seen, stages 16 and 32 px."""
    torch.manual_seed(0)
    network = EnergyConfig(coarsest=16, finest=32, width=8, widest=16)
    energy = Energy(network)
    with torch.no_grad():
        energy.project.weight.mul_(100)
    config = ModelConfig(network, Ladder((Stage(16, 4), Stage(32, 3))), source="noise", target="nothing")
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_model(path, energy.state_dict(), config)
    return path


@pytest.fixture(scope="session")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A JPEG of 100 x 75 px with a white ground, a red disc and some texture."""
    y, x = np.mgrid[:75, :100]
    picture = np.full((75, 100, 3), 255, np.uint8)
    inside = (x - 50) ** 2 + (y - 38) ** 2 < 26**2
    picture[inside] = (180, 40, 30)
    picture[inside] += (np.random.default_rng(0).integers(0, 30, (int(inside.sum()), 3))).astype(np.uint8)
    path = tmp_path_factory.mktemp("photo") / "disc.jpg"
    Image.fromarray(picture).save(path, quality=95)
    return path
