"""Recipes for models of the user's own: by options of the command, or by build variables of Weaviate's containers.

Of multi2vec-clip (https://github.com/weaviate/multi2vec-clip-inference): `CLIP_MODEL_NAME` and `TEXT_MODEL_NAME` name
repositories on the hub, `OPEN_CLIP_MODEL_NAME` with `OPEN_CLIP_PRETRAINED` an entry of open_clip's catalogue,
`SIGLIP_MODEL_NAME` a SigLIP on the hub; `CLIP_MODEL_TYPE=openai` says that a repository has OpenAI's layout although
another owner's. Of text2vec-transformers (https://github.com/weaviate/t2v-transformers-models): `MODEL_NAME`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from multi2vec import names
from multi2vec.convert.errors import RecipeError
from multi2vec.convert.recipe import RECIPES, HubSource, OpenClipSource, PictureOptions, Recipe, Source

VARIABLES = (
    "CLIP_MODEL_NAME",
    "TEXT_MODEL_NAME",
    "CLIP_MODEL_TYPE",
    "OPEN_CLIP_MODEL_NAME",
    "OPEN_CLIP_PRETRAINED",
    "SIGLIP_MODEL_NAME",
    "MODEL_NAME",
    "TRUST_REMOTE_CODE",
)
OPENAI = ("openai", "clip")
SENTENCE_TRANSFORMERS = ("", "sentencetransformer", "sentence-transformers")
NOT_A_TAG = re.compile(r"[^\w.-]+", re.ASCII)
# OWNER/NAME, or OWNER/NAME@COMMIT; of open_clip's catalogue ARCHITECTURE/PRETRAINED.
NAMED = re.compile(r"([\w.-]+)/([\w.-]+)(?:@([\w.-]+))?", re.ASCII)


def from_options(tag: str, family: str, source: str) -> tuple[Recipe, Path | None]:
    """The recipe for `--family FAMILY --source SOURCE`, and the checkpoint's folder. Raises `RecipeError`.

    The source is a folder on this machine, OWNER/NAME on the hub, perhaps with @REVISION, or for the family open_clip
    ARCHITECTURE/PRETRAINED of its catalogue. Without a tag the model is called after its source.
    """
    _check_tag(tag, "--family")
    folder = Path(source)
    is_open_clip = family == "open_clip"
    if folder.is_dir():
        # Only the folder's own name: a model does not tell where on whose machine it was made.
        name = folder.resolve().name
        return _recipe(tag, family, OpenClipSource(name, "own") if is_open_clip else HubSource(name), name), folder
    found = NAMED.fullmatch(source)
    if found is None:
        wanted = "ARCHITECTURE/PRETRAINED of open_clip's catalogue" if is_open_clip else "OWNER/NAME on the hub"
        raise RecipeError(f"{source} is neither a folder on this machine nor {wanted}")
    owner, name, revision = found.groups()
    named = OpenClipSource(owner, name, revision) if is_open_clip else HubSource(f"{owner}/{name}", revision)
    return _recipe(tag, family, named, named.name), None


def from_variables(tag: str, environment: Mapping[str, str]) -> Recipe | None:
    """The recipe that the variables describe, or None if they name no model. Raises `RecipeError`.

    Without a tag it is called after the model.
    """
    given = {name: environment.get(name, "").strip() for name in VARIABLES}
    if given["TRUST_REMOTE_CODE"].lower() in ("1", "true", "yes"):
        raise RecipeError(
            "TRUST_REMOTE_CODE is set, but a conversion never runs code of a model's repository; unset it"
        )
    named = {name: make for way, make in WAYS.items() for name in way if given[name]}
    makers = list(dict.fromkeys(named.values()))
    if not makers:
        return None
    if len(makers) > 1:
        one, other = (next(name for name, make in named.items() if make is each) for each in makers[:2])
        raise RecipeError(f"{one} and {other} name two models; an image holds one")
    _check_tag(tag, next(iter(named)))
    return makers[0](tag, given)


def _check_tag(tag: str, given: str) -> None:
    """Refuse a tag that means another model already, or can be none. Raises `RecipeError`."""
    if names.resolve(tag, RECIPES) is not None:
        raise RecipeError(f"{given} names a model of your own, but there is a recipe for {tag}: take another tag")
    if NOT_A_TAG.search(tag):
        raise RecipeError(f"{tag} cannot be a tag, which is made of letters, digits, '.', '_' and '-'")


def _open_clip(tag: str, given: Mapping[str, str]) -> Recipe:
    architecture, pretrained = given["OPEN_CLIP_MODEL_NAME"], given["OPEN_CLIP_PRETRAINED"]
    if not architecture or not pretrained:
        raise RecipeError("OPEN_CLIP_MODEL_NAME and OPEN_CLIP_PRETRAINED are needed together")
    return _recipe(tag, "open_clip", OpenClipSource(architecture, pretrained), f"{architecture}-{pretrained}")


def _siglip(tag: str, given: Mapping[str, str]) -> Recipe:
    name = given["SIGLIP_MODEL_NAME"]
    return _recipe(tag, "siglip", HubSource(name), name)


def _texts(tag: str, given: Mapping[str, str]) -> Recipe:
    name = given["MODEL_NAME"]
    return _recipe(tag, "text", HubSource(name), name)


def _clip(tag: str, given: Mapping[str, str]) -> Recipe:
    pictures, texts = given["CLIP_MODEL_NAME"], given["TEXT_MODEL_NAME"]
    if not pictures or not texts:
        raise RecipeError(
            "CLIP_MODEL_NAME and TEXT_MODEL_NAME are needed together (for one model of both: twice its name)"
        )
    kind = given["CLIP_MODEL_TYPE"].lower()
    if pictures.startswith("openai/") or kind in OPENAI:
        if pictures != texts:
            raise RecipeError("of an OpenAI model CLIP_MODEL_NAME and TEXT_MODEL_NAME must be the same")
        return _recipe(tag, "clip", HubSource(pictures), pictures)
    if kind not in SENTENCE_TRANSFORMERS:
        raise RecipeError(f"CLIP_MODEL_TYPE is {kind!r}; it can be openai or sentencetransformer")
    if pictures == texts:
        return _recipe(tag, "sentence_transformers", HubSource(pictures), texts)
    return _recipe(tag, "sentence_transformers", {"pictures": HubSource(pictures), "texts": HubSource(texts)}, texts)


# What names a model, one variable or two, and what makes a recipe of it.
WAYS: dict[tuple[str, ...], Callable[[str, Mapping[str, str]], Recipe]] = {
    ("OPEN_CLIP_MODEL_NAME", "OPEN_CLIP_PRETRAINED"): _open_clip,
    ("SIGLIP_MODEL_NAME",): _siglip,
    ("CLIP_MODEL_NAME", "TEXT_MODEL_NAME"): _clip,
    ("MODEL_NAME",): _texts,
}


def _recipe(tag: str, family: str, source: Source | dict[str, Source], name: str) -> Recipe:
    sources = source if isinstance(source, dict) else {"model": source}
    described = " and ".join(dict.fromkeys(each.name for each in sources.values()))
    return Recipe(
        tag or NOT_A_TAG.sub("-", name),
        family,
        "unknown",
        sources,
        description=f"{described}.",
        # What kinds of input it takes is seen when it is loaded.
        modalities=None,
        # The reference opens every picture with `convert("RGB")`.
        picture=PictureOptions(transparency="drop"),
    )
