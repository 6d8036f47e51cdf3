"""The one model of a server: what it is called by those who ask for it, and how long its texts may be."""

from __future__ import annotations

from multi2vec.engine.wanted import Truncation
from multi2vec.manifest import Manifest
from multi2vec.serve.errors import UnknownModel
from multi2vec.serve.service import Service
from multi2vec.specs import Kind, Modality


def known_names(manifest: Manifest) -> list[str]:
    """The model's tag and where it came from."""
    return list(dict.fromkeys([manifest.tag, *(source.name for source in manifest.sources)]))


class Name:
    """Who the server is, to check what requests ask for."""

    def __init__(self, service: Service) -> None:
        self._known = known_names(service.manifest)
        self._strict = service.settings.strict_model_name

    def check(self, name: str | None) -> None:
        """Raise `UnknownModel` for another model's name, if names are taken strictly (`STRICT_MODEL_NAME`)."""
        if self._strict and name and name not in self._known:
            raise UnknownModel(f"there is no model {name!r} here; this server has {', '.join(self._known)}")


def longest_text(manifest: Manifest) -> int:
    """How many tokens a text may have, special ones included; 0 for a model without texts."""
    return int(getattr(manifest.inputs.get("text"), "max_length", 0))


def truncation(service: Service, own: Truncation) -> Truncation:
    """What happens to too long a text when the request says nothing: as the setting says, else as the API does."""
    chosen = service.settings.auto_truncate
    if chosen is None:
        return own
    return "end" if chosen else "refuse"


def output_of_kind(manifest: Manifest, modality: Modality, kind: Kind) -> str | None:
    """The name of the modality's first output of that kind, for `Wanted.output`; None where it has none."""
    if modality not in manifest.inputs:
        return None
    return next((each.name for each in manifest.tower(modality).outputs if each.kind == kind), None)
