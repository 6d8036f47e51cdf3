"""Downloads from a stand-in for the hub, and what is never loaded."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from multi2vec.convert import checkpoint as checkpoints
from multi2vec.convert import families, recipe
from multi2vec.convert.errors import SourceError
from multi2vec.convert.recipe import Recipe
from tests.convert.conftest import python
from tests.convert.layouts import LAYOUTS
from tests.hub import Repository, serve

Checkpoint = Callable[[str], Path]

TAG = "openai-clip-vit-base-patch32"
NAME = "openai/clip-vit-base-patch32"
PINNED = "3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268"
DOWNLOAD = """
import sys
from multi2vec.convert import checkpoint
from multi2vec.convert.errors import SourceError
try:
    found = checkpoint.download(sys.argv[1], sys.argv[2] or None)
except SourceError as error:
    sys.exit(f"refused: {error}")
print(found.source.revision, *sorted(path.name for path in found.folder.iterdir()))
"""


def convert(*arguments: str, out: Path, **environment: str) -> tuple[int, str]:
    done = python("-m", "multi2vec", "convert", *arguments, "--out", str(out), **environment)
    return done.returncode, done.stdout + done.stderr


def test_a_pinned_revision_from_the_hub_and_again_without_it(tmp_path: Path, checkpoint: Checkpoint) -> None:
    shutil.copytree(checkpoint("clip"), tmp_path / "repository")
    (tmp_path / "repository" / "pytorch_model.bin").write_bytes(b"never needed")
    (tmp_path / "repository" / "README.md").write_text("never needed")
    home = str(tmp_path / "home")
    with serve({NAME: Repository(tmp_path / "repository", PINNED)}) as hub:
        # The recipe promises the real model's sizes, so the small one is converted without it.
        options = ["--family", "clip", "--source", f"{NAME}@{PINNED}", "--tag", "small"]
        environment = {"HF_ENDPOINT": hub.address, "HF_HOME": home, "HF_TOKEN": "hf_secret"}
        status, output = convert(*options, out=tmp_path / "out", **environment)
        assert status == 0, output
        downloaded = hub.downloaded()
        assert {token for _, path, token in hub.requests if NAME in path} == {"hf_secret"}
    assert "model.safetensors" in downloaded
    assert not downloaded & {"pytorch_model.bin", "README.md"}
    assert "Parity with the original library" in output
    assert "Warning" not in output
    made = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert made["sources"] == [{"name": NAME, "revision": PINNED}]
    assert "hf_secret" not in output + json.dumps(made)

    # The hub is gone; what is in HF_HOME is enough.
    done = python("-c", DOWNLOAD, NAME, PINNED, HF_HOME=home, HF_HUB_OFFLINE="1")
    assert done.stdout.split()[0] == PINNED, done.stderr


def test_a_branch_is_resolved_and_warned_about(tmp_path: Path, checkpoint: Checkpoint) -> None:
    folder = checkpoint("sentence_transformers multilingual")
    commits = {"clip-ViT-B-32": "a" * 40, "clip-ViT-B-32-multilingual-v1": "b" * 40}
    repositories = {f"sentence-transformers/{name}": Repository(folder / name, commits[name]) for name in commits}
    with serve(repositories) as hub:
        pictures, texts = repositories
        environment = {"CLIP_MODEL_NAME": pictures, "TEXT_MODEL_NAME": texts, "HF_ENDPOINT": hub.address}
        status, output = convert("pair", out=tmp_path / "out", HF_HOME=str(tmp_path / "home"), **environment)
        assert status == 0, output
    assert "no pinned revision" in output
    made = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert [source["revision"] for source in made["sources"]] == ["a" * 40, "b" * 40]


def download(name: str, revision: str, **environment: str) -> str:
    done = python("-c", DOWNLOAD, name, revision, **environment)
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def test_what_the_hub_does_not_give_is_one_sentence(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "config.json").write_text("{}")
    (repository / "pytorch_model.bin").write_bytes(b"weights")
    gated = Repository(repository, token="hf_right")
    home = {"HF_HOME": str(tmp_path / "home")}
    with serve({"owner/open": Repository(repository), "owner/gated": gated}) as hub:
        here = {**home, "HF_ENDPOINT": hub.address}
        assert "refused: the hub did not give owner/none" in download("owner/none", "", **here)
        assert "refused: the hub did not give owner/open at revision" in download("owner/open", "e" * 40, **here)
        assert "refused: the hub did not give owner/gated" in download("owner/gated", "", **here)
        assert "refused" in download("owner/gated", "", **here, HF_TOKEN="hf_wrong")
        assert gated.commit in download("owner/gated", "", **here, HF_TOKEN="hf_right")
        # No safetensors there: the torch file is taken.
        assert "pytorch_model.bin" in download("owner/open", "", **here)
    gone = download("owner/other", "", **home, HF_ENDPOINT=hub.address)
    assert "refused: owner/other is neither in the local cache nor can it be downloaded" in gone
    assert "--source DIR" in gone
    offline = download("owner/other", "", **home, HF_HUB_OFFLINE="1")
    assert "refused: owner/other is neither in the local cache" in offline


class Bomb:
    """Runs code when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.mark,))


@pytest.mark.parametrize(
    ("layout", "weights"),
    [
        ("clip", "model.safetensors"),
        ("open_clip", "open_clip_model.safetensors"),
        ("sentence_transformers", "0_CLIPModel/model.safetensors"),
        ("sentence_transformers multilingual", "clip-ViT-B-32-multilingual-v1/2_Dense/model.safetensors"),
    ],
)
def test_a_pickle_that_runs_code_is_refused_and_does_not_run(
    tmp_path: Path, checkpoint: Checkpoint, layout: str, weights: str
) -> None:
    folder, mark = tmp_path / "checkpoint", tmp_path / "mark"
    shutil.copytree(checkpoint(layout), folder)
    good = folder / weights
    bad = good.with_name(good.name.replace("open_clip_model", "open_clip_pytorch_model").replace("safetensors", "bin"))
    bad = bad.with_name("pytorch_model.bin") if bad.name == "model.bin" else bad
    good.unlink(missing_ok=True)
    bad.write_bytes(pickle.dumps({"weight": Bomb(mark)}))
    with pytest.raises(SourceError, match="cannot be read"):
        families.load(LAYOUTS[layout].recipe, folder)
    assert not mark.exists()


def test_safetensors_are_preferred(tmp_path: Path, checkpoint: Checkpoint) -> None:
    folder, mark = tmp_path / "checkpoint", tmp_path / "mark"
    shutil.copytree(checkpoint("open_clip"), folder)
    (folder / "open_clip_pytorch_model.bin").write_bytes(pickle.dumps({"weight": Bomb(mark)}))
    families.load(LAYOUTS["open_clip"].recipe, folder)
    assert not mark.exists()


def test_code_that_lies_beside_the_weights_is_not_run(tmp_path: Path, checkpoint: Checkpoint) -> None:
    folder, mark = tmp_path / "checkpoint", tmp_path / "mark"
    shutil.copytree(checkpoint("sentence_transformers"), folder)
    (folder / "evil.py").write_text(f"import pathlib; pathlib.Path({str(mark)!r}).touch()\nclass Module: pass\n")
    modules = [{"idx": 0, "name": "0", "path": "0_CLIPModel", "type": "evil.Module"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(SourceError):
        families.load(recipe.read("sentence-transformers-clip-ViT-B-32"), folder)
    assert not mark.exists()


def test_a_module_outside_the_checkpoint_is_refused(tmp_path: Path) -> None:
    from multi2vec.convert.parts.sentence_pipelines import module_paths

    (tmp_path / "modules.json").write_text(json.dumps([{"path": "../elsewhere", "type": "x"}]))
    with pytest.raises(SourceError, match="outside the checkpoint"):
        module_paths(tmp_path)


def test_the_demo_s_checkpoint_lies_beside_its_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    beside = checkpoints.beside_recipe("demo")
    assert beside is not None
    assert checkpoints.find(recipe.read("demo"), "model", None).folder == beside
    assert checkpoints.beside_recipe(TAG) is None


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    read: Recipe = recipe.read(TAG)
    with pytest.raises(SourceError, match="is not there"):
        checkpoints.find(read, "model", tmp_path / "missing")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_folder_that_holds_something_else(tmp_path: Path, layout: str) -> None:
    for name in ("clip-ViT-B-32", "clip-ViT-B-32-multilingual-v1"):
        (tmp_path / name).mkdir()
    with pytest.raises(SourceError, match="cannot be read"):
        families.load(LAYOUTS[layout].recipe, tmp_path)
