"""The recipes together."""

from pathlib import Path

import pytest

from multi2vec.convert import catalogue, catalogue_check, licences, recipe

GOOD = """
family = "clip"
licence = "mit"
languages = ["en"]
description = "A model."
dimensions = 512
context = 77
[source]
repository = "owner/{tag}"
"""
TEXTS = """
family = "open_clip"
licence = "cc-by-nc-4.0"
languages = ["en", "de"]
description = "Another model."
modalities = ["text"]
dimensions = 1024
context = 8192
aliases = ["Group/texts"]
smallest_dimensions = 32
weights = "int8"
[source]
architecture = "ViT-B-16"
pretrained = "laion2b_s34b_b88k"
"""


def write(folder: Path, **recipes: str) -> Path:
    for tag, text in recipes.items():
        (folder / f"{tag}.toml").write_text(text.replace("{tag}", tag))
    return folder


def test_the_listing(tmp_path: Path) -> None:
    write(tmp_path, good=GOOD, texts=TEXTS)
    lines = catalogue.listing(tmp_path).splitlines()
    assert lines[0].split() == [*catalogue.COLUMNS, "ALIASES"]
    assert lines[1].split() == ["good", "clip", "512", "text+picture", "77", "en", "mit", "fp16", "owner/good"]
    assert lines[2].split() == [
        "texts",
        "open_clip",
        "1024",
        "text",
        "8192",
        "en,de",
        "cc-by-nc-4.0",
        "int8",
        "Group/texts",
    ]
    # In a terminal that is too narrow for the other names they are left away.
    assert catalogue.listing(tmp_path, width=max(map(len, lines))).splitlines() == lines
    assert "ALIASES" not in catalogue.listing(tmp_path, width=max(map(len, lines)) - 1)


def test_the_table_of_the_readme(tmp_path: Path) -> None:
    write(tmp_path, texts=TEXTS, good=GOOD)
    lines = catalogue.markdown(tmp_path).splitlines()
    headings = [line for line in lines if line.startswith("**")]
    assert headings == ["**Texts and pictures**", "**Texts only**"]
    assert "| `good` | A model. | 512 | 77 tokens | en | mit |" in lines
    assert (
        "| `texts` | Another model. | 1024 (cut: from 32) | 8,192 tokens | en, de | cc-by-nc-4.0, non-commercial |"
        in lines
    )


def test_what_is_right_has_no_faults(tmp_path: Path) -> None:
    assert catalogue_check.faults(write(tmp_path, good=GOOD, texts=TEXTS)) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('"clip"', '"clop"', "there is no family 'clop'; there are: "),
        ('licence = "mit"', 'licence = " "', "licence is empty"),
        ('["en"]', "[]", "languages names none"),
        ('"A model."', '"A model"', "description is no sentence that ends with a full stop"),
        ("dimensions = 512\n", "", "dimensions is not stated"),
        ("context = 77\n", "", "context, the tokens that a text may have, is not stated"),
        ("context = 77", "context = 77\nmodalities = []", "modalities is empty"),
        ("context = 77", 'context = 77\nmodalities = ["smell"]', "modalities has 'smell'; known are text, image"),
        ("context = 77", "context = 77\ncut_dimensions = [64, 512]", "cut_dimensions has 512, but dimensions is 512"),
        ("context = 77", "context = 77\nsmallest_dimensions = 600", "smallest_dimensions has 600, but dimensions is"),
        ("context = 77", 'context = 77\naliases = ["texts"]', "the alias 'texts' is another recipe's tag"),
        ("context = 77", 'context = 77\naliases = ["Group/texts"]', "the name 'Group/texts' is one of good.toml's too"),
        ("context = 77", 'context = 77\naliases = [""]', "an alias is empty"),
        (
            "context = 77",
            'context = 77\npublished = {source = "", figures = {a = 1}}',
            "published needs figures and the",
        ),
        ('"owner/{tag}"', '"owner"', "the source 'model' is 'owner'; a repository is OWNER/NAME"),
        ('"owner/{tag}"', '"owner/{tag}"\nrevision = "main"', "the revision 'main', which is no commit"),
        ('repository = "owner/{tag}"', 'architecture = "VIT"\npretrained = "a"', "open_clip has no architecture 'VIT'"),
        (
            'repository = "owner/{tag}"',
            'architecture = "ViT-B-16"\npretrained = "a"',
            "open_clip has no 'a' of ViT-B-16; there are: openai, ",
        ),
        ("dimensions = 512", 'dimensions = "512"', "good.toml: dimensions is not a whole number"),
    ],
)
def test_each_fault_is_a_line(tmp_path: Path, old: str, new: str, fault: str) -> None:
    assert old in GOOD
    (found,) = catalogue_check.faults(write(tmp_path, good=GOOD.replace(old, new), texts=TEXTS))
    assert fault in found
    assert found.startswith(("good.toml", "texts.toml"))
    assert "\n" not in found


def test_a_repository_belongs_to_one_recipe(tmp_path: Path) -> None:
    """It is a name of its model."""
    write(tmp_path, one=GOOD, two=GOOD.replace("{tag}", "one"))
    assert catalogue_check.faults(tmp_path) == ["two.toml: the name 'owner/one' is one of one.toml's too"]
    write(tmp_path, two=f'variant_of = "one"\n{GOOD.replace("{tag}", "one")}')
    assert catalogue_check.faults(tmp_path) == []
    write(tmp_path, two=f'variant_of = "three"\n{GOOD.replace("{tag}", "one")}')
    assert catalogue_check.faults(tmp_path) == ["two.toml: it is a variant of 'three', which is no recipe's tag"]


def test_a_tag_must_be_able_to_be_an_image_s(tmp_path: Path) -> None:
    (tmp_path / "with space.toml").write_text(GOOD)
    assert catalogue_check.faults(tmp_path)[0] == "with space.toml: its name cannot be an image's tag"


def test_the_repository_s_own_recipes_have_no_faults() -> None:
    assert catalogue_check.faults() == []
    assert len(recipe.tags()) >= 9


@pytest.mark.parametrize(
    ("licence", "forbids"),
    [
        ("mit", False),
        ("apache-2.0", False),
        ("cc-by-4.0", False),
        ("cc-by-nc-4.0", True),
        ("CC-BY-NC-SA-4.0", True),
        ("apple-amlr", True),
        ("fair-noncommercial-research-license", True),
        ("gemma", False),
    ],
)
def test_licences_that_forbid_commercial_use(licence: str, forbids: bool) -> None:
    assert licences.is_non_commercial(licence) == forbids
