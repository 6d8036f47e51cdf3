"""Models without a recipe, by options of the command and by build variables of Weaviate's containers."""

from collections.abc import Callable
from pathlib import Path

import pytest

from multi2vec.convert import custom, families
from multi2vec.convert.errors import RecipeError
from multi2vec.convert.recipe import HubSource, OpenClipSource, PictureOptions

OWN = "owner/name"


def test_nothing_is_named() -> None:
    assert custom.from_variables("tag", {}) is None
    assert (
        custom.from_variables(
            "tag", {"CLIP_MODEL_TYPE": "openai", "TRUST_REMOTE_CODE": "false", "CLIP_MODEL_NAME": " "}
        )
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
        ({"SIGLIP_MODEL_NAME": "owner/siglip"}, "siglip", {"model": HubSource("owner/siglip")}),
        ({"MODEL_NAME": "owner/texts"}, "text", {"model": HubSource("owner/texts")}),
    ],
)
def test_the_reference_s_ways_to_name_a_model(
    variables: dict[str, str], family: str, sources: dict[str, object]
) -> None:
    made = custom.from_variables("my-tag", variables)
    assert made is not None
    assert (made.tag, made.family, made.sources) == ("my-tag", family, sources)
    assert made.picture == PictureOptions(transparency="drop")
    assert (made.modalities, made.dimensions, made.context) == (None, None, None)


def test_without_a_tag_it_is_called_after_the_model() -> None:
    made = custom.from_variables("", {"CLIP_MODEL_NAME": "a/pictures", "TEXT_MODEL_NAME": "a/many languages"})
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
        ({"SIGLIP_MODEL_NAME": OWN, "MODEL_NAME": OWN}, "SIGLIP_MODEL_NAME and MODEL_NAME name two models"),
        ({"CLIP_MODEL_NAME": OWN, "TEXT_MODEL_NAME": OWN, "TRUST_REMOTE_CODE": "true"}, "never runs code"),
    ],
)
def test_what_cannot_be_built_is_one_sentence(variables: dict[str, str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        custom.from_variables("tag", variables)


@pytest.mark.parametrize("tag", ["openai-clip-vit-base-patch16", "openai/clip-vit-base-patch16"])
def test_a_recipe_s_name_is_not_for_another_model(tag: str) -> None:
    """Variables that somebody forgot would make another model of it."""
    with pytest.raises(RecipeError, match="MODEL_NAME names a model of your own, but there is a recipe for"):
        custom.from_variables(tag, {"MODEL_NAME": OWN})
    with pytest.raises(RecipeError, match="--family names a model of your own, but there is a recipe for"):
        custom.from_options(tag, "clip", OWN)


def test_a_tag_that_can_be_none() -> None:
    with pytest.raises(RecipeError, match="my model cannot be a tag"):
        custom.from_variables("my model", {"MODEL_NAME": OWN})


@pytest.mark.parametrize(
    ("family", "source", "expected", "tag"),
    [
        ("clip", "owner/name", HubSource("owner/name"), "owner-name"),
        ("clip", "owner/name@abc123", HubSource("owner/name", "abc123"), "owner-name"),
        ("open_clip", "ViT-B-16/laion2b", OpenClipSource("ViT-B-16", "laion2b"), "ViT-B-16-laion2b"),
    ],
)
def test_a_source_elsewhere(family: str, source: str, expected: object, tag: str) -> None:
    made, folder = custom.from_options("", family, source)
    assert (made.tag, made.family, made.sources, folder) == (tag, family, {"model": expected}, None)


@pytest.mark.parametrize("family", ["clip", "open_clip"])
def test_a_folder_on_this_machine(tmp_path: Path, family: str) -> None:
    """The recipe knows its name, not where it lies."""
    (tmp_path / "mine").mkdir()
    made, folder = custom.from_options("own", family, str(tmp_path / "mine"))
    assert (made.tag, folder) == ("own", tmp_path / "mine")
    assert str(tmp_path) not in repr(made)


def test_a_source_that_is_nothing(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="neither a folder on this machine nor OWNER/NAME on the hub"):
        custom.from_options("own", "clip", str(tmp_path / "missing"))
    with pytest.raises(RecipeError, match="nor ARCHITECTURE/PRETRAINED of open_clip's catalogue"):
        custom.from_options("own", "open_clip", "ViT-B-16")


@pytest.mark.parametrize("layout", ["clip", "open_clip"])
def test_it_converts_without_a_recipe(checkpoint: Callable[[str], Path], layout: str) -> None:
    """What the model takes is seen from itself."""
    made, folder = custom.from_options("own", layout, str(checkpoint(layout)))
    model = families.load(made, folder)
    assert tuple(model.parts) == ("text", "image")
    assert model.parts["image"].spec.transparency == "drop"
    assert model.sources[0].revision is None
