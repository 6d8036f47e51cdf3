"""Where recipes, the demo model and converted models lie: in a checkout, or beside an installed package."""

from __future__ import annotations

from pathlib import Path

from multi2vec import names

DEMO = "demo"

_PACKAGED = Path(__file__).parent / "_images"
_CHECKOUT = Path(__file__).parents[2]

# An installed package carries them; a checkout has them at its top.
IMAGES = _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT / "images"


def root() -> Path:
    """What relative paths of recipes and the folder `models/` start from: the checkout, or the working directory."""
    return Path.cwd() if IMAGES == _PACKAGED else _CHECKOUT


def known_tag(name: str) -> str | None:
    """The recipe's tag, if the name is one or means the same model. An image that serves has no recipes."""
    return names.resolve(name, IMAGES)


def model_folder(name: str) -> Path:
    """Where the model of that tag, or with that other name, lies or would lie."""
    tag = known_tag(name) or name
    return IMAGES / DEMO / "model" if tag == DEMO else root() / "models" / tag
