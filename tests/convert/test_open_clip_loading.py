"""Models of open_clip's catalogue, from a stand-in for the hub and from folders."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from open_clip import factory
from PIL import Image

from multi2vec.convert import drawings, families, recipe, weights
from multi2vec.convert.errors import SourceError
from multi2vec.convert.families.open_clip import picture_part
from multi2vec.convert.parts import open_clip_loading
from multi2vec.convert.recipe import OpenClipSource, Recipe
from tests.convert.conftest import python
from tests.convert.layouts import LAYOUTS
from tests.hub import Repository, serve

Checkpoint = Callable[[str], Path]

SMALL_RECIPE = 'family = "open_clip"\nlicence = "mit"\n[source]\narchitecture = "small"\npretrained = "tag"\n'
SMALL_CATALOGUE = """
import json, sys
from pathlib import Path
import open_clip
from multi2vec.convert import recipe
from multi2vec.convert.command import main
folder = Path(sys.argv[1])
open_clip.add_model_config(folder / "small.json")
open_clip.pretrained._PRETRAINED["small"] = {"tag": {"hf_hub": "laion/small/", **json.loads(sys.argv[2])}}
recipe.read.__defaults__ = (folder,)
recipe.tags.__defaults__ = (folder,)
sys.exit(main(["small", "--out", str(folder / "out")]))
"""


def test_a_name_of_open_clips_catalogue(tmp_path: Path, checkpoint: Checkpoint) -> None:
    folder = checkpoint("open_clip with XLM-RoBERTa")
    config = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]
    config["text_cfg"].update(
        hf_model_name="FacebookAI/xlm-roberta-base", hf_tokenizer_name="FacebookAI/xlm-roberta-base"
    )
    (tmp_path / "small.json").write_text(json.dumps(config))
    (tmp_path / "small.toml").write_text(SMALL_RECIPE)
    own = tmp_path / "xlm-roberta-base"
    shutil.copytree(folder / "xlm-roberta-base", own)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder / name, own)
    (own / "model.safetensors").write_bytes(b"never needed")
    with serve(
        {"laion/small": Repository(folder, "c" * 40), "FacebookAI/xlm-roberta-base": Repository(own, "d" * 40)}
    ) as hub:
        done = python(
            "-c", SMALL_CATALOGUE, str(tmp_path), "{}", HF_ENDPOINT=hub.address, HF_HOME=str(tmp_path / "home")
        )
        assert done.returncode == 0, done.stderr
        assert "open_clip_model.safetensors" in hub.downloaded()
        assert "model.safetensors" not in hub.downloaded()
    made = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert [source["revision"] for source in made["sources"]] == ["c" * 40, "d" * 40]


@pytest.mark.parametrize("layout", ["SigLIP 2 of open_clip", "MobileCLIP-S1", "MobileCLIP2-S3"])
def test_what_the_catalogue_says_of_pictures_and_texts_reaches_the_model(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    """A file of weights says nothing of them, unlike a folder."""
    folder = checkpoint(layout)
    chosen = LAYOUTS[layout].recipe
    wanted = chosen.sources["model"]
    assert isinstance(wanted, OpenClipSource)
    config = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]
    monkeypatch.setitem(factory._MODEL_CONFIGS, wanted.architecture, config)
    file = str(folder / "open_clip_model.safetensors")
    monkeypatch.setattr(open_clip_loading, "download_pretrained_from_hf", lambda *_: file)
    monkeypatch.setattr("multi2vec.convert.checkpoint.fetch", lambda *_: folder)
    found = open_clip_loading.from_hub(wanted)
    expected = open_clip_loading.from_folder(wanted, folder)
    one, other = (picture_part(each, chosen) for each in (found, expected))
    assert (one.spec, one.tower.scaling) == (other.spec, other.tower.scaling)
    picture = drawings.scene_file(57, 31)
    assert torch.equal(*(each.preprocess(Image.open(io.BytesIO(picture))) for each in (found, expected)))
    text = "A photo of two CATS, one of them grey!"
    assert torch.equal(found.tokenizer([text]), expected.tokenizer([text]))
    weights.check_equal(found.model.state_dict(), expected.original.state_dict(), layout)


def test_the_activation_is_the_catalogue_s(tmp_path: Path, checkpoint: Checkpoint) -> None:
    """`ViT-B-16` with `openai` is such an entry: its architecture says nothing of QuickGELU, only the entry does."""
    folder = checkpoint("open_clip")
    config = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]
    assert "quick_gelu" not in config
    (tmp_path / "small.json").write_text(json.dumps(config))
    (tmp_path / "small.toml").write_text(SMALL_RECIPE)
    entry = json.dumps({"quick_gelu": True})
    with serve({"laion/small": Repository(folder, "c" * 40)}) as hub:
        home = str(tmp_path / "home")
        done = python("-c", SMALL_CATALOGUE, str(tmp_path), entry, HF_ENDPOINT=hub.address, HF_HOME=home)
        assert done.returncode == 0, done.stderr
    example = json.loads((tmp_path / "out" / "manifest.json").read_text())["examples"][0]
    tokens = open_clip.SimpleTokenizer()([example["content"]])
    rows = {}
    for quick in (True, False):
        model = open_clip.create_model(f"local-dir:{folder}", force_quick_gelu=quick).eval()
        with torch.inference_mode():
            rows[quick] = model.encode_text(tokens)[0].numpy()
    assert example["vector"] == pytest.approx(rows[True], rel=1e-4, abs=1e-4)
    assert not np.allclose(rows[True], rows[False], rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(
    ("layout", "tag", "message"),
    [
        ("open_clip", "ViT-B-32-quickgelu-laion400m_e32", "says GELU, but .* was trained with QuickGELU"),
        ("open_clip with QuickGELU", "ViT-B-16-laion2b_s34b_b88k", "says QuickGELU, but .* was trained with GELU"),
    ],
)
def test_a_folder_with_another_activation_is_refused(
    checkpoint: Checkpoint, layout: str, tag: str, message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        families.load(recipe.read(tag), checkpoint(layout))


def test_a_folder_that_the_catalogue_says_nothing_about(checkpoint: Checkpoint) -> None:
    own = Recipe("own", "open_clip", "mit", {"model": OpenClipSource("own-architecture", "own-weights")})
    for layout in ("open_clip", "open_clip with QuickGELU"):
        assert families.load(own, checkpoint(layout)).parts.keys() == {"text", "image"}
