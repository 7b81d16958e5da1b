"""What a model can do beside translation: it makes and judges pictures, or it restores them."""

from __future__ import annotations

from models.config import ModelConfig


def is_denoiser(config: ModelConfig) -> bool:
    """Whether its energy has learned the way back from noise."""
    return config.source is None and all(level.denoise_scale for level in config.schedule.levels)


def made_from(config: ModelConfig) -> str:
    """What a model starts from, in words."""
    return config.source or (f"noisy {config.target}" if is_denoiser(config) else "nothing")


def require_generator(config: ModelConfig, name: str, task: str = "make pictures") -> None:
    """Raises ValueError for a model that makes no pictures of nothing. task: what it is wanted for, `to ...`."""
    if config.source is not None or is_denoiser(config):
        raise ValueError(f"{name} {_does(config)}; to {task} takes a model trained without --source and --from-noise")


def require_judge(config: ModelConfig, name: str) -> None:
    """Raises ValueError for a model that does not know how unusual a picture is."""
    if config.source is not None or not config.probe:
        raise ValueError(
            f"{name} {_does(config)}; to judge pictures takes a model trained without --source and --from-noise"
        )


def require_denoiser(config: ModelConfig, name: str, task: str) -> None:
    """Raises ValueError for a model whose energy has never seen noise. task: what it is wanted for, `to ...`."""
    if not is_denoiser(config):
        raise ValueError(f"{name} {_does(config)}; to {task} takes a model trained with --from-noise")


def _does(config: ModelConfig) -> str:
    if config.source is not None:
        return f"translates {config.source} to {config.target}"
    return f"{'restores' if is_denoiser(config) else 'makes'} pictures"
