"""Which vectors are compared, and how, by what a model gives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from multi2vec.engine.embedder import Embedder
from multi2vec.engine.errors import BadInput, TooLarge, Unsupported
from multi2vec.engine.wanted import Wanted
from multi2vec.serve import items, scoring
from multi2vec.serve.errors import BadRequest
from multi2vec.serve.metrics import Metrics
from multi2vec.serve.scoring import Scores, Side
from multi2vec.serve.service import Service
from multi2vec.serve.settings import Settings
from tests import toy
from tests.serve import several
from tests.serve.several import cosine, max_sim

TEXTS = ("a red cat", "the dog", "sun")
PICTURES = [toy.picture(seed) for seed in (1, 2)]


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return several.write_tokens(tmp_path_factory.mktemp("tokens"))


@pytest.fixture(scope="module")
def only_tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return several.write_tokens(tmp_path_factory.mktemp("only_tokens"), dense=False)


@pytest.fixture(scope="module")
def queries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return several.write_queries(tmp_path_factory.mktemp("queries"))


def item(given: Any) -> items.Item:
    return items.text(given) if isinstance(given, str) else items.picture(toy.b64(toy.png(given)))


def side(given: Sequence[Any], wanted: Wanted = Wanted()) -> Side:
    return Side([item(each) for each in given], wanted)


def scored(folder: Path, first: Side, second: Side, output: str | None = None, **settings: Any) -> Scores:
    """What `score` says of these sides."""
    service = Service(Settings(model_dir=folder, cache_dir=None, precision="f32", **settings), Metrics())

    async def main() -> Scores:
        await service.load()
        try:
            return await scoring.score(service, first, second, output)
        finally:
            service.close()

    return asyncio.run(main())


def assert_near(found: Scores, expected: Sequence[float]) -> None:
    np.testing.assert_allclose(found.values, expected, atol=1e-5)


def to_picture(text: str, picture: Any) -> float:
    """BLIP-2's score: the largest cosine."""
    return float((several.query_vectors(picture) @ toy.text_vector(text)).max())


class TestPairs:
    def test_one_query_with_each_document(self, toy_folder: Path) -> None:
        found = scored(toy_folder, side(["a red cat"]), side(TEXTS))
        assert_near(found, [cosine("a red cat", text) for text in TEXTS])
        # A text's words, its beginning and its end; the query is counted once.
        assert found.tokens == 5 + 5 + 4 + 3

    def test_each_query_with_the_document_at_its_place(self, toy_folder: Path) -> None:
        found = scored(toy_folder, side(TEXTS), side(TEXTS[::-1]))
        assert_near(found, [cosine(*pair) for pair in zip(TEXTS, TEXTS[::-1], strict=True)])
        assert found.tokens == 24

    def test_other_numbers(self, toy_folder: Path) -> None:
        for first, second in ((2, 3), (3, 1), (0, 1), (2, 0)):
            with pytest.raises(BadRequest, match=f"{first} queries and {second} documents; there is one"):
                scored(toy_folder, side(["a"] * first), side(["a"] * second))
        assert scored(toy_folder, side(["a"]), side([])).values == []

    def test_too_many(self, toy_folder: Path) -> None:
        with pytest.raises(TooLarge, match=r"4 items.*MAX_ITEMS"):
            scored(toy_folder, side(["a"]), side(TEXTS), max_items=3)

    def test_each_distinct_item_is_embedded_once(self, toy_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        calls: list[tuple[int, Wanted]] = []
        embed = Embedder.embed

        async def counted(self: Embedder, modality: str, given: Sequence[Any], wanted: Wanted = Wanted()) -> Any:
            calls.append((len(given), wanted))
            return await embed(self, modality, given, wanted)

        monkeypatch.setattr(Embedder, "embed", counted)
        scored(toy_folder, side(["a", "b", "a"]), side(["c", "c", "c"], Wanted(prompt="")))
        wanted = Wanted(normalise=True, is_search=False)
        # After the two of the model's proof.
        assert calls[2:] == [(3, wanted), (3, Wanted(prompt="", normalise=True, is_search=False))]

    def test_vectors_are_normalised_whatever_the_model_does(self, toy_folder: Path) -> None:
        found = scored(toy_folder, side(["a red cat"]), side(TEXTS), normalise=False)
        assert_near(found, [cosine("a red cat", text) for text in TEXTS])

    def test_wishes_of_one_side(self, toy_folder: Path) -> None:
        found = scored(toy_folder, side(["a"]), side(["red cat dog sun"], Wanted(max_tokens=4)))
        assert_near(found, [cosine("a", "red cat")])
        refused = Wanted(max_tokens=4, truncate="refuse")
        with pytest.raises(BadInput, match="6 tokens, more than 4"):
            scored(toy_folder, side(["a"]), side(["red cat dog sun"], refused))


class TestOutputs:
    def test_a_text_and_a_picture(self, toy_folder: Path) -> None:
        expected = [float(toy.text_vector("sun") @ toy.picture_vector(picture)) for picture in PICTURES]
        assert_near(scored(toy_folder, side(["sun"]), side(PICTURES)), expected)

    def test_a_model_with_dense_and_token_vectors(self, tokens: Path) -> None:
        """Dense ones are compared, unless the others are asked for."""
        for output in (None, "dense"):
            found = scored(tokens, side(["a red cat"]), side(TEXTS), output)
            assert_near(found, [cosine("a red cat", text) for text in TEXTS])
        found = scored(tokens, side(["a red cat"]), side(TEXTS), several.LATE)
        assert_near(found, [max_sim("a red cat", text) for text in TEXTS])
        # The document's only vector, that of its end, is compared with each of the query's.
        assert_near(scored(tokens, side(["red cat"]), side([""]), several.LATE), [max_sim("red cat", "")])

    def test_a_model_with_token_vectors_only(self, only_tokens: Path) -> None:
        found = scored(only_tokens, side(["a red cat"]), side(TEXTS))
        assert_near(found, [max_sim("a red cat", text) for text in TEXTS])

    def test_a_model_with_several_vectors_of_a_picture(self, queries: Path) -> None:
        found = scored(queries, side(["sun"]), side([*PICTURES, "the dog"]))
        assert_near(found, [*(to_picture("sun", picture) for picture in PICTURES), cosine("sun", "the dog")])
        assert found.tokens == 3 + 4

    def test_such_a_picture_as_the_query(self, queries: Path) -> None:
        one, other = PICTURES
        found = scored(queries, side([one]), side([other, "sun", one]))
        dense = float(toy.picture_vector(one) @ toy.picture_vector(other))
        assert_near(found, [dense, to_picture("sun", one), 1])

    def test_outputs_that_are_not_there(self, tokens: Path, queries: Path) -> None:
        with pytest.raises(Unsupported, match=r"toy-tokens has no output 'sparse'.*: dense, late"):
            scored(tokens, side(["a"]), side(["b"]), "sparse")
        with pytest.raises(Unsupported, match="no output 'queries' of both query and document"):
            scored(queries, side(["a"]), side(PICTURES), several.QUERIES)

    def test_modalities_that_are_not_there(self, tokens: Path) -> None:
        with pytest.raises(Unsupported, match="toy-tokens has no picture tower"):
            scored(tokens, side(["a"]), side(PICTURES))

    def test_what_cannot_be_compared(self, only_tokens: Path) -> None:
        service = Service(Settings(model_dir=only_tokens, cache_dir=None), Metrics())
        with pytest.raises(Unsupported, match="no vectors by which a text and a video can be compared"):
            scoring.compared(service.manifest, "text", "video")


class TestItems:
    @pytest.fixture
    def parsed(self, toy_folder: Path) -> Callable[[Any], items.Item]:
        manifest = Service(Settings(model_dir=toy_folder, cache_dir=None), Metrics()).manifest
        return lambda given: scoring.item(given, manifest, "query")

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ("sun", items.text("sun")),
            ("data:image/png;base64,AA", items.picture("data:image/png;base64,AA")),
            ({"text": "sun"}, items.text("sun")),
            ({"content": "sun"}, items.text("sun")),
            ({"content": [{"type": "text", "text": "sun"}, {"type": "text", "text": "sea"}]}, items.text("sun\nsea")),
            ({"type": "image_url", "image_url": {"url": "AA"}}, items.picture("AA")),
            ({"content": [{"type": "image_url", "image_url": "AA"}]}, items.picture("AA")),
        ],
    )
    def test_forms(self, parsed: Callable[[Any], items.Item], given: Any, expected: items.Item) -> None:
        assert parsed(given) == expected

    @pytest.mark.parametrize("given", [1, None, {}, {"text": 1}, ["sun"]])
    def test_what_is_none(self, parsed: Callable[[Any], items.Item], given: Any) -> None:
        with pytest.raises(BadRequest, match="query is neither a text nor an object"):
            parsed(given)


def test_the_best_come_first_and_equal_ones_in_their_order() -> None:
    assert scoring.best_first([0.1, 0.5, -1, 0.5, 0.7]) == [4, 1, 3, 0, 2]
    assert scoring.best_first([]) == []
