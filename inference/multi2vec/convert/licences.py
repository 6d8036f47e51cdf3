"""Which licences of models forbid commercial use."""

from __future__ import annotations

import re

# Creative Commons' NC licences and others that say it in their name.
NAMES_IT = re.compile(r"^cc-by-nc\b|non-?commercial|research-only")
# Those that say it in their text only. apple-amlr, Apple's licence of machine-learning research models, permits
# "non-commercial scientific research" only (https://github.com/apple/ml-mobileclip/blob/main/LICENSE_MODELS).
OTHERS = ("apple-amlr",)


def is_non_commercial(licence: str) -> bool:
    """Whether a licence, named as the hub names it, forbids commercial use. False for one that is not known."""
    name = licence.casefold()
    return name in OTHERS or NAMES_IT.search(name) is not None


def warning(tag: str, licence: str) -> str:
    """A sentence for whoever converts such a model."""
    return f"{tag} is for non-commercial use only (licence {licence})"
