"""Recipes for models of the user's own, from the reference container's build variables.

`CLIP_MODEL_NAME` and `TEXT_MODEL_NAME` name repositories on the hub, `OPEN_CLIP_MODEL_NAME` with `OPEN_CLIP_PRETRAINED`
an entry of open_clip's catalogue; `CLIP_MODEL_TYPE=openai` says that a repository has OpenAI's layout although another
owner's. See https://github.com/weaviate/multi2vec-clip-inference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from multi2vec.convert.errors import RecipeError
from multi2vec.convert.recipe import HubSource, OpenClipSource, PictureOptions, Recipe, Source

VARIABLES = (
    "CLIP_MODEL_NAME",
    "TEXT_MODEL_NAME",
    "CLIP_MODEL_TYPE",
    "OPEN_CLIP_MODEL_NAME",
    "OPEN_CLIP_PRETRAINED",
    "SIGLIP_MODEL_NAME",
    "TRUST_REMOTE_CODE",
)
OPENAI = ("openai", "clip")
SENTENCE_TRANSFORMERS = ("", "sentencetransformer", "sentence-transformers")
NOT_A_TAG = re.compile(r"[^\w.-]+", re.ASCII)


def recipe(tag: str, environment: Mapping[str, str]) -> Recipe | None:
    """The recipe that the variables describe, or None if they name no model. Raises `RecipeError`.

    Without a tag it is called after the model.
    """
    given = {name: environment.get(name, "").strip() for name in VARIABLES}
    if given["TRUST_REMOTE_CODE"].lower() in ("1", "true", "yes"):
        raise RecipeError(
            "TRUST_REMOTE_CODE is set, but a conversion never runs code of a model's repository; unset it"
        )
    if given["SIGLIP_MODEL_NAME"]:
        raise RecipeError("SIGLIP_MODEL_NAME is set, but there is no family for SigLIP yet")
    if given["OPEN_CLIP_MODEL_NAME"] or given["OPEN_CLIP_PRETRAINED"]:
        return _open_clip(tag, given)
    if given["CLIP_MODEL_NAME"] or given["TEXT_MODEL_NAME"]:
        return _from_hub(tag, given)
    return None


def _open_clip(tag: str, given: Mapping[str, str]) -> Recipe:
    architecture, pretrained = given["OPEN_CLIP_MODEL_NAME"], given["OPEN_CLIP_PRETRAINED"]
    if not architecture or not pretrained:
        raise RecipeError("OPEN_CLIP_MODEL_NAME and OPEN_CLIP_PRETRAINED are needed together")
    if given["CLIP_MODEL_NAME"] or given["TEXT_MODEL_NAME"]:
        raise RecipeError("OPEN_CLIP_MODEL_NAME and CLIP_MODEL_NAME name two models; an image holds one")
    return _recipe(
        tag, "open_clip", {"model": OpenClipSource(architecture, pretrained)}, f"{architecture}-{pretrained}"
    )


def _from_hub(tag: str, given: Mapping[str, str]) -> Recipe:
    pictures, texts = given["CLIP_MODEL_NAME"], given["TEXT_MODEL_NAME"]
    if not pictures or not texts:
        raise RecipeError(
            "CLIP_MODEL_NAME and TEXT_MODEL_NAME are needed together (for one model of both: twice its name)"
        )
    kind = given["CLIP_MODEL_TYPE"].lower()
    if pictures.startswith("openai/") or kind in OPENAI:
        if pictures != texts:
            raise RecipeError("of an OpenAI model CLIP_MODEL_NAME and TEXT_MODEL_NAME must be the same")
        return _recipe(tag, "clip", {"model": HubSource(pictures)}, pictures)
    if kind not in SENTENCE_TRANSFORMERS:
        raise RecipeError(f"CLIP_MODEL_TYPE is {kind!r}; it can be openai or sentencetransformer")
    sources: dict[str, Source] = {"pictures": HubSource(pictures), "texts": HubSource(texts)}
    if pictures == texts:
        sources = {"model": HubSource(pictures)}
    return _recipe(tag, "sentence_transformers", sources, texts)


def _recipe(tag: str, family: str, sources: dict[str, Source], name: str) -> Recipe:
    described = " and ".join(dict.fromkeys(source.name for source in sources.values()))
    return Recipe(
        tag or NOT_A_TAG.sub("-", name),
        family,
        "unknown",
        sources,
        description=f"{described}.",
        # The reference opens every picture with `convert("RGB")`.
        picture=PictureOptions(transparency="drop"),
    )
