"""`multi2vec verify --published TAG`: the tables, and that the command computes what the original library does.

Real weights cannot be had here. So the "authors" are the original library on a checkpoint of random weights, with
drawings under the names of the authors' pictures.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from rich.console import Console

from multi2vec import verify
from multi2vec.convert import published, recipe, scores
from multi2vec.convert.published import TABLES, Item, Published, PublishedError
from multi2vec.convert.references import InPrompt
from multi2vec.engine import items as engine
from multi2vec.engine.similarity import cosines
from multi2vec.names import tags
from multi2vec.specs import FusedSpec
from tests.convert.conftest import Converted
from tests.convert.layouts import LAYOUTS
from tests.pictures import encode

# The layout of a small checkpoint of each model's kind.
KINDS = {"gme-Qwen2-VL-2B-Instruct": "GME", "Qwen3-VL-Embedding-2B": "Qwen3-VL", "VLM2Vec-Full": "VLM2Vec"}
# In place of the authors', which allows for the precision that they computed in. Weights of float32 are stored in
# float16 here, which alone costs 0.0004.
TOLERANCE = 0.001
SIZES = ((320, 213), (250, 333))
OFF = 0.01


@dataclass(frozen=True)
class Rig:
    """A converted model, drawings in place of its authors' pictures, and a folder with the table of what the original
    library gives for them. `tag` is that of the model's folder."""

    tag: str
    model: Path
    pictures: Path
    tables: Path
    published: Published

    def run(self, *arguments: str) -> int:
        return verify.main(
            ["--published", self.tag, "--model", str(self.model), "--pictures", str(self.pictures), *arguments]
        )


def rig_of(tag: str, root: Path, converted: Converted) -> Rig:
    known = published.read(tag)
    for place, (name, size) in enumerate(zip(known.pictures, SIZES, strict=False)):
        (root / name).write_bytes(drawing(size, place))
    text = (TABLES / f"{tag}.toml").read_text()
    for name, picture in known.pictures.items():
        if picture.md5:
            text = text.replace(picture.md5, hashlib.md5((root / name).read_bytes()).hexdigest())
    figures = cosines_of_original(converted, known, root)
    text = re.sub(r"cosine = [\d.]+", lambda _: f"cosine = {next(figures):.6f}", text)
    text = re.sub(r"tolerance = [\d.]+", f"tolerance = {TOLERANCE}", text)
    (root / f"{converted.manifest.tag}.toml").write_text(text)
    return Rig(converted.manifest.tag, converted.folder, root, root, published.read(converted.manifest.tag, root))


def drawing(size: tuple[int, int], place: int) -> bytes:
    picture = Image.new("RGB", size, ("white", "navy")[place])
    ImageDraw.Draw(picture).ellipse((20, 30, 150, 120), ("red", "yellow")[place])
    return encode(picture, "JPEG")


def cosines_of_original(converted: Converted, known: Published, pictures: Path) -> Iterator[float]:
    """The original's cosines, in the table's order."""
    part = converted.model.parts["fused"]
    assert isinstance(part.spec, FusedSpec)
    asked = [in_prompt(item, part.spec, pictures) for item in known.items.values()]
    rows = dict(zip(known.items, np.stack(list(part.reference.rows(asked)["dense"])), strict=True))
    for each in known.sets:
        for score in each.scores:
            yield float(cosines(rows[score.first][None], rows[score.second][None])[0])


def in_prompt(item: Item, spec: FusedSpec, pictures: Path) -> InPrompt:
    prompt = spec.prompts[item.prompt or str(spec.default_prompt)]
    pieces = [
        engine.Item("text", each.text)
        if each.picture is None
        else engine.Item("image", (pictures / each.picture).read_bytes())
        for each in item.pieces
    ]
    return InPrompt(pieces, prompt if item.task is None else dataclasses.replace(prompt, task=item.task), item.task)


@pytest.fixture(scope="module")
def rigs(converted: Callable[[str], Converted], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Rig]:
    made: dict[str, Rig] = {}

    def rig(tag: str) -> Rig:
        if tag not in made:
            made[tag] = rig_of(tag, tmp_path_factory.mktemp("published"), converted(KINDS[tag]))
        return made[tag]

    return rig


@pytest.fixture
def rig(request: pytest.FixtureRequest, rigs: Callable[[str], Rig], monkeypatch: pytest.MonkeyPatch) -> Rig:
    """That of the tag which the test is parametrised with, or of the first; its table is the one that is read."""
    found = rigs(getattr(request, "param", "VLM2Vec-Full"))
    monkeypatch.setattr(published.read, "__defaults__", (found.tables,))
    monkeypatch.setenv("COLUMNS", "120")
    return found


def change(rig: Rig, folder: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> None:
    """Let a table be read in which that is another, at one place."""
    text = (rig.tables / f"{rig.tag}.toml").read_text()
    assert old in text
    (folder / f"{rig.tag}.toml").write_text(text.replace(old, new, 1))
    monkeypatch.setattr(published.read, "__defaults__", (folder,))


class TestTables:
    @pytest.mark.parametrize("tag", tags(TABLES))
    def test_each_is_of_a_recipe_and_its_prompts(self, tag: str) -> None:
        known, prompts = published.read(tag), recipe.read(tag).text
        assert prompts is not None
        for item in known.items.values():
            assert item.prompt in prompts.named_prompts
            assert item.task is None or prompts.named_prompts[item.prompt].takes_task

    @pytest.mark.parametrize("tag", tags(TABLES))
    def test_each_item_is_compared_and_each_picture_is_seen(self, tag: str) -> None:
        known = published.read(tag)
        compared = {name for each in known.sets for score in each.scores for name in (score.first, score.second)}
        seen = {piece.picture for item in known.items.values() for piece in item.pieces if piece.picture}
        assert (compared, seen) == (set(known.items), set(known.pictures))
        assert all(each.source.startswith("https://") for each in known.sets)
        assert all(picture.url.startswith("https://") for picture in known.pictures.values())

    def test_each_is_tested_with_a_model_of_its_kind(self) -> None:
        assert set(KINDS) == set(tags(TABLES))
        for tag, layout in KINDS.items():
            assert LAYOUTS[layout].tag.startswith(tag)

    @pytest.mark.parametrize(
        ("old", "new", "fault"),
        [
            ("tolerance = ", "tolerence = ", "has the unknown key 'tolerence'"),
            ("tolerance = ", "tolerance = 1", "has the tolerance 10.02, which is not between 0 and 1"),
            ("cosine = 0", "cosine = 1", "has the cosine 1.3008, which is not between -1 and 1"),
            ('second = "cat and dog"', 'second = "a dog"', "compares 'a dog', which is not in [items]"),
            ('picture = "example.jpg"', 'picture = "other.jpg"', "has the picture 'other.jpg', which is not in"),
            ('{ text = "A cat and a dog" }', "{}", "has a piece that is not either a text or a picture"),
            ('{ text = "A cat and a dog" }', "", "has no pieces"),
            ("[pictures]", "[pictures", "is not TOML"),
        ],
    )
    def test_what_is_wrong_in_one_is_a_sentence(self, tmp_path: Path, old: str, new: str, fault: str) -> None:
        text = (TABLES / "VLM2Vec-Full.toml").read_text()
        assert old in text
        (tmp_path / "VLM2Vec-Full.toml").write_text(text.replace(old, new, 1))
        with pytest.raises(PublishedError, match=rf"^VLM2Vec-Full\.toml.*{re.escape(fault)}"):
            published.read("VLM2Vec-Full", tmp_path)

    def test_a_model_has_other_names_here_too(self) -> None:
        assert published.read("TIGER-Lab/VLM2Vec-Full") == published.read("VLM2Vec-Full")


@pytest.mark.parametrize("rig", KINDS, indirect=True)
def test_the_originals_scores_are_ours(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    assert rig.run() == 0
    shown = capsys.readouterr().out
    assert shown.count(" ok ") == sum(len(each.scores) for each in rig.published.sets)
    assert " off " not in shown
    for each in rig.published.sets:
        assert each.name in shown
        assert all(f"{score.first} · {score.second}" in shown for score in each.scores)


@pytest.mark.parametrize("rig", KINDS, indirect=True)
def test_a_score_that_is_off_is_shown(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = rig.published.sets[0].scores[0].cosine
    change(rig, tmp_path, monkeypatch, f"cosine = {first:.6f}", f"cosine = {first - OFF:.6f}")
    assert rig.run() == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if " off " in line]
    (difference,) = re.findall(r" (\+[\d.]+)", line)
    assert float(difference) == pytest.approx(OFF, abs=TOLERANCE)


@pytest.mark.parametrize(
    ("rig", "old", "new"),
    [
        ("gme-Qwen2-VL-2B-Instruct", ', task = "Find an image that matches the given text."', ""),
        ("Qwen3-VL-Embedding-2B", ', task = "Classify the news article."', ""),
        ("VLM2Vec-Full", 'prompt = "query"', 'prompt = "document"'),
    ],
    indirect=["rig"],
)
def test_what_an_item_is_asked_with_counts(
    rig: Rig, old: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(rig, tmp_path, monkeypatch, old, new)
    assert rig.run() == 1


class TestMissing:
    """What is missing is a sentence, and the exit status 2, before a model is loaded."""

    @pytest.fixture(autouse=True)
    def unopened(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(scores.library, "open_model", None)

    def test_a_picture(self, rig: Rig, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert rig.run("--pictures", str(tmp_path)) == 2
        (picture,) = rig.published.pictures.values()
        assert capsys.readouterr().err == (
            f"{tmp_path} has no example.jpg; it can be had from {picture.url} (md5 {picture.md5})\n"
        )

    @pytest.mark.parametrize("rig", ["gme-Qwen2-VL-2B-Instruct"], indirect=True)
    def test_several_pictures_without_checksums(
        self, rig: Rig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert rig.run("--pictures", str(tmp_path)) == 2
        assert capsys.readouterr().err.splitlines() == [
            f"{tmp_path} has no {name}; it can be had from {picture.url}"
            for name, picture in rig.published.pictures.items()
        ]

    def test_the_right_picture_where_another_lies(
        self, rig: Rig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "example.jpg").write_bytes(b"another")
        assert rig.run("--pictures", str(tmp_path)) == 2
        shown = capsys.readouterr().err
        assert "example.jpg is another picture, its md5 is b32d73e56ec99bc5ec8f83871cde708a; theirs can be" in shown

    def test_scores(self, rig: Rig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        monkeypatch.setattr(published.read, "__defaults__", (TABLES,))
        assert verify.main(["--published", "demo"]) == 2
        assert capsys.readouterr().err == (
            "no published scores of 'demo' are known here; there are some of "
            "gme-Qwen2-VL-2B-Instruct, Qwen3-VL-Embedding-2B, VLM2Vec-Full\n"
        )

    def test_the_model(self, rig: Rig, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert rig.run("--model", str(tmp_path)) == 2
        assert f"{tmp_path} is not a model folder" in capsys.readouterr().err

    def test_the_right_model_where_another_lies(self, rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
        demo = Path(__file__).parents[2] / "images" / "demo" / "model"
        assert rig.run("--model", str(demo)) == 2
        assert f"{demo} holds demo, and the scores are those of {rig.tag}" in capsys.readouterr().err


def test_a_picture_that_cannot_be_decoded(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "example.jpg").write_bytes(b"nothing")
    with pytest.raises(PublishedError, match=r"there is no vector of 'picture \+ question': .*picture"):
        scores.compare(rig.published, rig.model, tmp_path, "f32")


def test_compressed_weights_are_noted(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    described = dataclasses.replace(scores.manifest.read(rig.model), precision="int8")
    monkeypatch.setattr(scores.manifest, "read", lambda folder: described)
    monkeypatch.setattr(scores, "compare", lambda known, *_: [[] for _ in known.sets])
    console = Console(file=io.StringIO(), record=True, width=200)
    assert scores.verify(rig.published, rig.model, rig.pictures, "f32", console)
    assert "note: the weights are int8, and the tolerances are for weights of 16 or 32 bits" in console.export_text()


def test_a_score_that_is_no_number_is_off() -> None:
    score = published.Score("one", "other", 0.5)
    assert [scores.Compared(score, ours, 0.01).is_within for ours in (0.509, 0.511, float("nan"))] == [
        True,
        False,
        False,
    ]


def test_the_default_folder_is_where_conversion_writes(capsys: pytest.CaptureFixture[str]) -> None:
    assert verify.main(["--published", "gme-Qwen2-VL-2B-Instruct"]) == 2
    assert "models/gme-Qwen2-VL-2B-Instruct is not a model folder" in capsys.readouterr().err


def test_something_must_be_asked(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        verify.main([])
    assert ended.value.code == 2
    assert "--published is required" in capsys.readouterr().err
