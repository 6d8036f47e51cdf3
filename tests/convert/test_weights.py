"""A checkpoint that lacks tensors, or has others than its model, is refused, whatever the library makes of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from multi2vec.convert import families, recipe, weights
from multi2vec.convert.errors import SourceError
from multi2vec.convert.model import Model
from tests import checkpoints
from tests.convert.layouts import LAYOUTS

Checkpoint = Callable[[str], Path]
State = dict[str, torch.Tensor]
Spoil = Callable[[State, str], None]


def read(path: Path) -> State:
    return load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)


def write(path: Path, state: State) -> None:
    state = {name: tensor.contiguous() for name, tensor in state.items()}
    if path.suffix == ".safetensors":
        save_file(state, path, metadata={"format": "pt"})
    else:
        torch.save(state, path)


def remove(state: State, name: str) -> None:
    del state[name]


def rename(state: State, name: str) -> None:
    state[f"{name}_of_another_model"] = state.pop(name)


def reshape(state: State, name: str) -> None:
    """One row more: what libraries resize, or replace by random numbers."""
    tensor = state[name]
    state[name] = torch.cat([tensor, tensor[:1]])


def add(state: State, name: str) -> None:
    state["something.else.weight"] = state[name].clone()


# Each tensor is missing once, and one of each layout is spoilt in the other ways too.
CASES = [
    (layout, file, name, spoil)
    for layout in LAYOUTS
    for file, names in LAYOUTS[layout].tensors.items()
    for name in names
    for spoil in (remove, rename, reshape, add)
    if spoil is remove or name == names[0]
]


def spoilt(folder: Path, checkpoint: Path, file: str, spoil: Callable[[State], None]) -> Path:
    shutil.copytree(checkpoint, folder)
    state = read(folder / file)
    spoil(state)
    write(folder / file, state)
    return folder


@pytest.mark.parametrize(("layout", "file", "name", "spoil"), CASES)
def test_a_spoilt_checkpoint_is_refused(
    tmp_path: Path, checkpoint: Checkpoint, layout: str, file: str, name: str, spoil: Spoil
) -> None:
    folder = spoilt(tmp_path / "spoilt", checkpoint(layout), file, lambda state: spoil(state, name))
    with pytest.raises(SourceError) as error:
        families.load(LAYOUTS[layout].recipe, folder)
    message = str(error.value)
    # A library may leave out a prefix that the file has.
    known = LAYOUTS[layout].calls.get(name) or ".".join(name.split(".")[-3:])
    assert ("something.else.weight" if spoil is add else known) in message
    assert "\n" not in message


@pytest.mark.parametrize("layout", LAYOUTS)
def test_many_missing_tensors_are_one_sentence(tmp_path: Path, checkpoint: Checkpoint, layout: str) -> None:
    def thin_out(state: State) -> None:
        for name in sorted(state)[::3]:
            del state[name]

    file = next(file for file, names in LAYOUTS[layout].tensors.items() if len(names) > 1)
    folder = spoilt(tmp_path / "spoilt", checkpoint(layout), file, thin_out)
    with pytest.raises(SourceError, match=r"missing: .*, .*, .* and \d+ more"):
        families.load(LAYOUTS[layout].recipe, folder)


@pytest.mark.parametrize("layout", [name for name, layout in LAYOUTS.items() if layout.ignorable])
def test_what_older_versions_wrote_besides_is_allowed(
    tmp_path: Path, checkpoint: Checkpoint, loaded: Callable[[str], Model], layout: str
) -> None:
    ((file, names),) = LAYOUTS[layout].ignorable.items()
    positions = {name: torch.arange(77)[None] for name in names}
    folder = spoilt(tmp_path / "older", checkpoint(layout), file, lambda state: state.update(positions))
    model = families.load(LAYOUTS[layout].recipe, folder)
    assert weights.digest(model) == weights.digest(loaded(layout))


@pytest.mark.parametrize(
    ("layout", "config", "other", "says"),
    [
        ("clip", "config.json", "siglip", "of the type 'siglip', not 'clip'"),
        ("sentence_transformers", "0_CLIPModel/config.json", "siglip", "does not hold this model's weights"),
        (
            "sentence_transformers multilingual",
            "clip-ViT-B-32-multilingual-v1/config.json",
            "bert",
            "does not hold this",
        ),
        ("text of BERT", "config.json", "distilbert", "does not hold this model's weights"),
        ("text of BERT", "config.json", "xlm-roberta", "of the type 'xlm-roberta', but of the architecture BertModel"),
        ("text of XLM-RoBERTa", "config.json", "bert", "of the type 'bert', but of the architecture XLMRobertaModel"),
        ("text of Qwen3", "config.json", "qwen2", "does not hold this model's weights"),
        ("text of Mistral", "config.json", "llama", "of the type 'llama', but of the architecture MistralModel"),
        ("text of GTE", "config.json", "bert", "does not hold this model's weights"),
    ],
)
def test_the_configuration_of_another_kind_of_model(
    tmp_path: Path, checkpoint: Checkpoint, layout: str, config: str, other: str, says: str
) -> None:
    shutil.copytree(checkpoint(layout), tmp_path / "other")
    path = tmp_path / "other" / config
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_type": other}))
    with pytest.raises(SourceError, match=says):
        families.load(LAYOUTS[layout].recipe, tmp_path / "other")


def test_vectors_of_different_lengths_are_refused(tmp_path: Path) -> None:
    checkpoints.sentence_transformers_clip(tmp_path / "clip-ViT-B-32")
    checkpoints.sentence_transformers_texts(tmp_path / "clip-ViT-B-32-multilingual-v1", dimensions=32)
    with pytest.raises(SourceError, match="text vectors have 32, picture vectors have 64 dimensions"):
        families.load(recipe.read("sentence-transformers-clip-ViT-B-32-multilingual-v1"), tmp_path)


def test_equal_in_name_and_shape_is_not_enough() -> None:
    one, other = {"a": torch.zeros(2)}, {"a": torch.ones(2)}
    weights.check_equal(one, one, "module")
    with pytest.raises(SourceError, match="module: the weights that were loaded differ from the checkpoint's: a"):
        weights.check_equal(one, other, "module")


def test_a_single_number_may_be_a_vector_of_one() -> None:
    weights.check_state({"scale": torch.tensor(1.0)}, {"scale": torch.tensor([1.0])}, "module")
