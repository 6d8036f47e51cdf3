from pathlib import Path

import pytest

from multi2vec.convert import recipe
from multi2vec.convert.errors import RecipeError
from multi2vec.convert.recipe import FolderSource, HubSource, OpenClipSource, PictureOptions
from multi2vec.specs import Prompt

PLAIN = """
family = "clip"
licence = "mit"
[source]
repository = "owner/name"
"""


def write(folder: Path, text: str) -> Path:
    (folder / "tag.toml").write_text(text)
    return folder


def test_a_recipe_says_what_the_file_says(tmp_path: Path) -> None:
    read = recipe.read("tag", write(tmp_path, PLAIN))
    assert (read.tag, read.family, read.licence, read.normalise) == ("tag", "clip", "mit", True)
    assert read.sources == {"model": HubSource("owner/name", None)}


def test_what_a_recipe_can_say_of_inputs_and_vectors(tmp_path: Path) -> None:
    text = """
cut_dimensions = [256, 64]
[text]
default_prompt = "query"
max_length = 32
[text.prompts]
query = "query: "
ask = {template = "{task}: {text}", task = "find what answers"}
[picture]
exif_orientation = true
transparency = "white"
"""
    before, source = PLAIN.split("[source]")
    read = recipe.read("tag", write(tmp_path, before + text + "[source]" + source))
    assert read.cut_dimensions == (256, 64)
    assert read.text is not None
    assert (read.text.default_prompt, read.text.max_length) == ("query", 32)
    assert read.text.named_prompts == {"query": Prompt("query: "), "ask": Prompt("{task}: {text}", "find what answers")}
    assert read.picture == PictureOptions(exif_orientation=True, transparency="white")


def test_alpha_is_dropped_for_every_tag() -> None:
    """Weaviate's own container does so with every model. Those of texts and pictures in one vector follow their
    authors."""
    for tag in recipe.tags():
        read = recipe.read(tag)
        modalities = read.modalities or ()
        expected = PictureOptions(transparency="drop") if "image" in modalities else None
        if "fused" not in modalities:
            assert read.picture == expected, tag
        else:
            assert read.picture is not None
            assert read.picture.transparency is not None, tag


def test_the_kinds_of_sources() -> None:
    assert recipe.read("demo").sources == {"model": FolderSource("images/demo/checkpoint")}
    assert recipe.read("ViT-B-16-laion2b_s34b_b88k").sources["model"] == OpenClipSource("ViT-B-16", "laion2b_s34b_b88k")
    two = recipe.read("sentence-transformers-clip-ViT-B-32-multilingual-v1").sources
    assert set(two) == {"pictures", "texts"}


def test_an_unknown_name_lists_similar_ones() -> None:
    with pytest.raises(RecipeError, match=r"no recipe for 'vit-b-32-quickgelu'; near it are ViT-B-32-quickgelu-"):
        recipe.read("vit-b-32-quickgelu")
    with pytest.raises(RecipeError, match=r"no recipe for '§'; none has a name like it"):
        recipe.read("§")


def test_a_model_by_another_name() -> None:
    assert recipe.read("openai/clip-vit-base-patch16").tag == "openai-clip-vit-base-patch16"


def test_a_tag_is_no_path(tmp_path: Path) -> None:
    write(tmp_path, PLAIN)
    inside = tmp_path / "inside"
    inside.mkdir()
    with pytest.raises(RecipeError, match="no recipe"):
        recipe.read("../tag", inside)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PLAIN.replace("licence", "license"), "unknown key 'license'"),
        (PLAIN + 'revison = "main"\n', r"source has the unknown key 'revison'; allowed are repository, revision"),
        (PLAIN.replace('licence = "mit"', ""), "has no 'licence'"),
        (PLAIN.replace('"mit"', "3"), "licence is not a string"),
        ('languages = "en"' + PLAIN, "languages is not a list"),
        ("languages = [1]" + PLAIN, r"languages\[0\] is not a string"),
        ("exif_orientation = true" + PLAIN, "unknown key 'exif_orientation'"),
        (PLAIN + '[picture]\ntransparency = "black"\n', "transparency is 'black'; it can be 'drop', 'white'"),
        (PLAIN + "[picture]\nexif = true\n", "picture has the unknown key 'exif'"),
        (PLAIN + "[text]\nmax_tokens = 3\n", "text has the unknown key 'max_tokens'"),
        (PLAIN + "[text]\nmax_length = 0\n", "max_length is 0"),
        (PLAIN + '[text]\ndefault_prompt = "query"\n', "default_prompt is 'query'; the prompts are: none"),
        (PLAIN + "[text.prompts]\nquery = 3\n", r"prompts.query is not an object"),
        (PLAIN + '[text.prompts.query]\ntemplate = "x"\nrole = "y"\n', "prompts.query has the unknown key 'role'"),
        (PLAIN + '[text.prompts]\nquery = "{text} {text}"\n', "more than one place for {text}"),
        (PLAIN + '[text.prompts.query]\ntemplate = "x"\ntask = "y"\n', "has a task, but no place for {task}"),
        ('weights = "fp8"' + PLAIN, "weights is 'fp8'; it can be 'fp32', 'fp16', 'int8', 'int4'"),
        ("published = 66.6" + PLAIN, "published is not an object"),
        ('published = {source = "a paper", figures = {top1 = "high"}}' + PLAIN, "figures.top1 is not a number"),
        ("cut_dimensions = [0]" + PLAIN, "cut_dimensions and smallest_dimensions are lengths"),
        ('cut_dimensions = ["64"]' + PLAIN, r"cut_dimensions\[0\] is not a whole number"),
        ('normalise = "no"' + PLAIN, "normalise is not true or false"),
        ('tag = "other"' + PLAIN, "unknown key 'tag'"),
        ('family = "clip"\nlicence = "mit"\n', r"has no table \[source\]"),
        ('family = "clip"\nlicence = "mit"\n[source]\nurl = "x"\n', "needs a repository"),
        (
            'family = "clip"\nlicence = "mit"\n[source.pictures]\nrepository = "x"\n',
            r"\[source.pictures\] and \[source.texts\]",
        ),
        ("family =", "is not TOML"),
    ],
)
def test_a_wrong_recipe_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe.read("tag", write(tmp_path, text))


def test_an_unknown_family_lists_the_families(tmp_path: Path) -> None:
    from multi2vec.convert import families

    read = recipe.read("tag", write(tmp_path, PLAIN.replace('"clip"', '"clop"')))
    with pytest.raises(RecipeError, match=r"'clop'; there are: .*clip, .*open_clip, .*sentence_transformers"):
        families.load(read, None)
