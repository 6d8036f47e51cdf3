"""What is fetched of repositories that hold more than a model of transformers, and what is left there."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from multi2vec.convert.recipe import HubSource
from tests.convert.conftest import python
from tests.convert.layouts import LAYOUTS
from tests.hub import Repository, serve

LOAD = """
import sys
from multi2vec.convert import families
from tests.convert.layouts import LAYOUTS
print(families.load(LAYOUTS[sys.argv[1]].recipe, None).sources[0].revision)
"""
# Other forms of the same weights, and code that is never run.
LEFT = ("onnx/model.onnx", "onnx/pytorch_model.bin", "custom_st.py", "imgs/miracl.jpg", "README.md")


@pytest.mark.parametrize(
    ("layout", "weights"),
    [
        ("bge_m3", {"pytorch_model.bin", "sparse_linear.pt", "colbert_linear.pt"}),
        ("jina_v3", {"model.safetensors"}),
        ("EmbeddingGemma 2", {"model.safetensors", "chat_template.jinja"}),
    ],
)
def test_only_what_is_needed_of_the_pinned_commit(
    tmp_path: Path, checkpoint: Callable[[str], Path], layout: str, weights: set[str]
) -> None:
    folder = Path(shutil.copytree(checkpoint(layout), tmp_path / "repository"))
    for name in LEFT:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"never needed")
    source = LAYOUTS[layout].recipe.sources["model"]
    assert isinstance(source, HubSource)
    with serve({source.repository: Repository(folder, str(source.revision))}) as hub:
        done = python("-c", LOAD, layout, HF_ENDPOINT=hub.address, HF_HOME=str(tmp_path / "home"))
    assert (done.returncode, done.stdout.strip()) == (0, source.revision), done.stderr
    fetched = hub.downloaded()
    assert {name for name in fetched if not name.endswith(".json")} == weights
    assert {"config.json", "tokenizer.json", "modules.json"} <= fetched
