"""The five tasks of jina-embeddings-v3 in one tower: each as the original gives it, alone and beside others."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

import multi2vec
from multi2vec import Wanted, manifest
from multi2vec.convert import families, parity
from multi2vec.convert.errors import RecipeError, SourceError
from multi2vec.convert.parts import jina_v3_checkpoint
from multi2vec.convert.recipe import TextOptions
from multi2vec.convert.references import Adapted
from multi2vec.engine.embedder import Embedder
from multi2vec.serve import roles
from multi2vec.specs import Prompt
from tests.checkpoints import jina_v3_layouts
from tests.checkpoints.jina_v3_layouts import INSTRUCTIONS, TASKS
from tests.convert.conftest import Converted
from tests.convert.layouts import LAYOUTS

TEXT = "a photo of a cat"
WAYS = (None, *TASKS)

Vectors = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def made(converted: Callable[[str], Converted]) -> Converted:
    return converted("jina_v3")


@pytest.fixture(scope="module")
def model(made: Converted) -> Iterator[multi2vec.Model]:
    with multi2vec.open_model(made.folder, precision="f32") as opened:
        yield opened


def embed(model: multi2vec.Model, texts: Sequence[str], task: str | None) -> Vectors:
    return np.asarray(model.embed(texts=texts, wanted=Wanted(prompt=task)).rows)


def merged(folder: Path, task: int) -> torch.nn.Module:
    """transformers' model with the task's matrices multiplied into the file's weights here."""
    checkpoint = jina_v3_checkpoint.read(folder)
    state = {name: tensor.float() for name, tensor in checkpoint.state.items()}
    for name in [name for name in state if name.endswith(".original")]:
        before = name.removesuffix("original")
        first, second = state[f"{before}0.lora_A"][task], state[f"{before}0.lora_B"][task]
        equation = "ir,rj->ij" if "embeddings" in name else "rj,ir->ij"
        # Alpha 1, rank 4.
        state[name] = state[name] + 0.25 * torch.einsum(equation, first, second)
    found: torch.nn.Module = replace(checkpoint, state=state).model()
    return found


@pytest.mark.parametrize("task", TASKS)
def test_each_task_is_the_original_s(
    model: multi2vec.Model, checkpoint: Callable[[str], Path], made: Converted, task: str
) -> None:
    """Its instruction before the text, its adapter merged into the weights, the mean of the states at unit length."""
    tokenizer = made.model.parts["text"].reference.original.tokenizer  # type: ignore[attr-defined]
    encoded = tokenizer(INSTRUCTIONS[task] + TEXT, return_tensors="pt")
    with torch.inference_mode():
        states = merged(checkpoint("jina_v3"), TASKS.index(task))(**encoded).last_hidden_state[0]
    expected = torch.nn.functional.normalize(states.mean(dim=0), dim=0).numpy()
    assert embed(model, [TEXT], task)[0] @ expected > 0.99999


def test_without_a_prompt_no_adapter_computes(model: multi2vec.Model, made: Converted) -> None:
    (expected,) = made.model.parts["text"].reference.rows([TEXT])["dense"]
    for prompt in (None, ""):
        assert embed(model, [TEXT], prompt)[0] @ expected > 0.99999


def test_the_tasks_have_different_vectors(model: multi2vec.Model) -> None:
    """Also those without an instruction, which differ by their adapter alone."""
    vectors = np.concatenate([embed(model, [TEXT], task) for task in WAYS])
    apart = (vectors @ vectors.T)[~np.eye(len(WAYS), dtype=bool)]
    assert apart.max() < 0.99


def test_texts_of_several_tasks_share_a_batch(made: Converted, monkeypatch: pytest.MonkeyPatch) -> None:
    """And each has the vector that it has alone."""
    texts = ["x", TEXT, "a long text " * 20]
    asked = [(text, task) for text in texts for task in WAYS]
    batches: list[set[int]] = []

    def encode(embedder: Embedder) -> None:
        lane = embedder.lanes["text"]
        own = lane.encoder.encode

        def watched(inputs: dict[str, Vectors]) -> object:
            batches.append(set(inputs["adapter"].tolist()))
            return own(inputs)

        monkeypatch.setattr(lane.encoder, "encode", watched)

    async def together(embedder: Embedder) -> list[Vectors]:
        work = [embedder.embed("text", [text], Wanted(prompt=task)) for text, task in asked]
        return [np.asarray(each.rows)[0] for each in await asyncio.gather(*work)]

    with parity.opened(made.folder, "f32") as embedder:
        encode(embedder)
        found = asyncio.run(together(embedder))
        assert max(len(each) for each in batches) > 3
        for (text, task), vector in zip(asked, found, strict=True):
            alone = asyncio.run(embedder.embed("text", [text], Wanted(prompt=task))).rows
            assert np.asarray(alone)[0] == pytest.approx(vector, abs=1e-5)


def test_prompts_are_the_configuration_s(made: Converted) -> None:
    spec = made.manifest.spec("text")
    assert spec.prompts == {task: Prompt(INSTRUCTIONS[task], adapter=number) for number, task in enumerate(TASKS)}
    assert spec.default_prompt is None
    assert [each.name for each in made.manifest.tower("text").inputs] == ["input_ids", "attention_mask", "adapter"]
    assert roles.prompt_for(made.manifest, "query") == "retrieval.query"
    assert roles.prompt_for(made.manifest, "document") == "retrieval.passage"


@pytest.mark.parametrize("task", [None, "retrieval.passage"])
def test_a_text_of_thousands_of_tokens(model: multi2vec.Model, made: Converted, task: str | None) -> None:
    """Rotary positions far into a text: with frequencies in float16 the angles would be off by radians."""
    text = " ".join(f"{number} cats and {number + 1} dogs" for number in range(560))
    item = text if task is None else Adapted(INSTRUCTIONS[task] + text, TASKS.index(task))
    reference = made.model.parts["text"].reference
    assert 4000 < len(reference.prepare(item)["input_ids"]) <= 8192
    (expected,) = reference.rows([item])["dense"]
    assert embed(model, [text], task)[0] @ expected > 0.9999


def test_vectors_can_be_cut(made: Converted) -> None:
    """The recipe's lengths are those of the authors; a cut vector has unit length again."""
    read = replace(made.manifest, cut_dimensions=(32,))
    (made.folder / manifest.FILE_NAME).write_text(manifest.with_fingerprint(read).to_json())
    try:
        with multi2vec.open_model(made.folder) as opened:
            (whole,), (cut,) = (
                np.asarray(opened.embed(texts=[TEXT], wanted=Wanted(dimensions=each)).rows) for each in (None, 32)
            )
    finally:
        (made.folder / manifest.FILE_NAME).write_text(made.manifest.to_json())
    assert np.linalg.norm(cut) == pytest.approx(1, abs=1e-5)
    assert cut == pytest.approx(whole[:32] / np.linalg.norm(whole[:32]), abs=1e-5)


def test_the_layout_has_as_many_numbers_as_the_published_checkpoint() -> None:
    with torch.device("meta"):
        roberta = jina_v3_layouts.Roberta(250002, 1024, 24, 4096)
    assert sum(each.numel() for each in roberta.state_dict().values()) == jina_v3_layouts.PARAMETERS


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"position_embedding_type": "absolute"}, "position_embedding_type = 'absolute', which is not supported"),
        ({"emb_pooler": "cls"}, "emb_pooler = 'cls', which is not supported"),
        ({"lora_rank": 8}, "does not hold this model's weights: of another shape: roberta.embeddings"),
        ({"lora_adaptations": ["retrieval.query"]}, "of another shape: roberta.embeddings"),
        ({"lora_adaptations": None}, "no rotary positions or no adapters"),
    ],
)
def test_a_configuration_of_another_model_is_refused(
    tmp_path: Path, checkpoint: Callable[[str], Path], changes: dict[str, object], says: str
) -> None:
    folder = Path(shutil.copytree(checkpoint("jina_v3"), tmp_path / "other"))
    config = json.loads((folder / "config.json").read_text()) | changes
    known = {name: value for name, value in config.items() if name not in changes or value is not None}
    (folder / "config.json").write_text(json.dumps(known))
    with pytest.raises(SourceError, match=says):
        families.load(LAYOUTS["jina_v3"].recipe, folder)


def test_a_prompt_with_an_adapter_that_is_not_there(checkpoint: Callable[[str], Path]) -> None:
    wishes = TextOptions({"sixth": Prompt("", adapter=5)})
    with pytest.raises(RecipeError, match="the prompt 'sixth' has adapter 5; there are 0 to 4"):
        families.load(replace(LAYOUTS["jina_v3"].recipe, text=wishes), checkpoint("jina_v3"))
