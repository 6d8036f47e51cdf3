"""Models without a recipe, by the reference's build variables."""

import pytest

from multi2vec.convert import custom
from multi2vec.convert.errors import RecipeError
from multi2vec.convert.recipe import HubSource, OpenClipSource, PictureOptions

OWN = "owner/name"


def test_nothing_is_named() -> None:
    assert custom.recipe("tag", {}) is None
    assert (
        custom.recipe("tag", {"CLIP_MODEL_TYPE": "openai", "TRUST_REMOTE_CODE": "false", "CLIP_MODEL_NAME": " "})
        is None
    )


@pytest.mark.parametrize(
    ("variables", "family", "sources"),
    [
        (
            {"CLIP_MODEL_NAME": "openai/clip", "TEXT_MODEL_NAME": "openai/clip"},
            "clip",
            {"model": HubSource("openai/clip")},
        ),
        (
            {"CLIP_MODEL_NAME": OWN, "TEXT_MODEL_NAME": OWN, "CLIP_MODEL_TYPE": "OpenAI"},
            "clip",
            {"model": HubSource(OWN)},
        ),
        ({"CLIP_MODEL_NAME": OWN, "TEXT_MODEL_NAME": OWN}, "sentence_transformers", {"model": HubSource(OWN)}),
        (
            {"CLIP_MODEL_NAME": OWN, "TEXT_MODEL_NAME": "owner/text"},
            "sentence_transformers",
            {"pictures": HubSource(OWN), "texts": HubSource("owner/text")},
        ),
        (
            {"OPEN_CLIP_MODEL_NAME": "ViT-B-16", "OPEN_CLIP_PRETRAINED": "laion2b"},
            "open_clip",
            {"model": OpenClipSource("ViT-B-16", "laion2b")},
        ),
    ],
)
def test_the_reference_s_ways_to_name_a_model(
    variables: dict[str, str], family: str, sources: dict[str, object]
) -> None:
    made = custom.recipe("my-tag", variables)
    assert made is not None
    assert (made.tag, made.family, made.sources) == ("my-tag", family, sources)
    assert made.picture == PictureOptions(transparency="drop")


def test_without_a_tag_it_is_called_after_the_model() -> None:
    made = custom.recipe("", {"CLIP_MODEL_NAME": "a/pictures", "TEXT_MODEL_NAME": "a/many languages"})
    assert made is not None
    assert made.tag == "a-many-languages"


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"CLIP_MODEL_NAME": OWN}, "needed together"),
        ({"TEXT_MODEL_NAME": OWN}, "needed together"),
        ({"OPEN_CLIP_MODEL_NAME": "ViT-B-16"}, "needed together"),
        ({"CLIP_MODEL_NAME": "openai/a", "TEXT_MODEL_NAME": "openai/b"}, "must be the same"),
        (
            {"CLIP_MODEL_NAME": OWN, "TEXT_MODEL_NAME": OWN, "CLIP_MODEL_TYPE": "ct"},
            "CLIP_MODEL_TYPE is 'ct'; it can be",
        ),
        (
            {"OPEN_CLIP_MODEL_NAME": "a", "OPEN_CLIP_PRETRAINED": "b", "CLIP_MODEL_NAME": OWN, "TEXT_MODEL_NAME": OWN},
            "name two models",
        ),
        ({"SIGLIP_MODEL_NAME": OWN}, "no family for SigLIP yet"),
        ({"CLIP_MODEL_NAME": OWN, "TEXT_MODEL_NAME": OWN, "TRUST_REMOTE_CODE": "true"}, "never runs code"),
    ],
)
def test_what_cannot_be_built_is_one_sentence(variables: dict[str, str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        custom.recipe("tag", variables)
