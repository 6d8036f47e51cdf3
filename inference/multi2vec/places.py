"""Where recipes, the demo model and converted models lie: in a checkout, or beside an installed package."""

from __future__ import annotations

from pathlib import Path

DEMO = "demo"

_PACKAGED = Path(__file__).parent / "_images"
_CHECKOUT = Path(__file__).parents[2]

# An installed package carries them; a checkout has them at its top.
IMAGES = _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT / "images"


def root() -> Path:
    """What relative paths of recipes and the folder `models/` start from: the checkout, or the working directory."""
    return Path.cwd() if IMAGES == _PACKAGED else _CHECKOUT


def model_folder(tag: str) -> Path:
    """Where the model of that tag lies, or would lie."""
    return IMAGES / DEMO / "model" if tag == DEMO else root() / "models" / tag
