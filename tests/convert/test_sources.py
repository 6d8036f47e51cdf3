"""Corrupt or wrong sources, and disks that are full: each ends in one sentence, and leaves nothing half-written."""

from __future__ import annotations

import errno
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from multi2vec.convert import disk, export, families
from multi2vec.convert.errors import ConversionError, SourceError
from tests.convert.conftest import python
from tests.convert.layouts import LAYOUTS

Checkpoint = Callable[[str], Path]

every_layout = pytest.mark.parametrize("layout", LAYOUTS)


def spoilt(tmp_path: Path, checkpoint: Path) -> Path:
    """A copy that may be spoilt."""
    return Path(shutil.copytree(checkpoint, tmp_path / "spoilt"))


def weights_of(layout: str, folder: Path) -> Path:
    """The largest file of weights that the layout names."""
    return max((folder / name for name in LAYOUTS[layout].tensors), key=lambda path: path.stat().st_size)


def refusal(layout: str, folder: Path) -> str:
    """The sentence that refuses it."""
    with pytest.raises(SourceError) as refused:
        families.load(LAYOUTS[layout].recipe, folder)
    message = str(refused.value)
    assert "\n" not in message
    assert not message.endswith(".")
    return message


@every_layout
def test_weights_that_are_missing(tmp_path: Path, checkpoint: Checkpoint, layout: str) -> None:
    folder = spoilt(tmp_path, checkpoint(layout))
    weights_of(layout, folder).unlink()
    assert str(folder) in refusal(layout, folder)


@every_layout
def test_weights_that_were_cut_off(tmp_path: Path, checkpoint: Checkpoint, layout: str) -> None:
    """A download that ended early."""
    folder = spoilt(tmp_path, checkpoint(layout))
    path = weights_of(layout, folder)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    assert str(folder) in refusal(layout, folder)


class Bomb:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.mark,))


@every_layout
def test_a_pickle_in_place_of_the_weights_is_never_run(tmp_path: Path, checkpoint: Checkpoint, layout: str) -> None:
    """Under the very name that the weights had, a safetensors file's or a torch file's."""
    folder, mark = spoilt(tmp_path, checkpoint(layout)), tmp_path / "mark"
    weights_of(layout, folder).write_bytes(pickle.dumps({"weight": Bomb(mark)}))
    assert str(folder) in refusal(layout, folder)
    assert not mark.exists()


@every_layout
def test_an_architecture_that_is_not_known(tmp_path: Path, checkpoint: Checkpoint, layout: str) -> None:
    """In every configuration of the checkpoint, or there is one that nothing depends on."""
    folder = spoilt(tmp_path, checkpoint(layout))
    for path in folder.rglob(LAYOUTS[layout].configurations):
        config = json.loads(path.read_text())
        if "model_cfg" in config:
            config["model_cfg"] = {"embed_dim": 64, "made_up_cfg": {}}
        elif "model_type" in config:
            config |= {"model_type": "made_up", "architectures": ["MadeUp"]}
        elif "image_cfg" in config:
            config["image_cfg"]["model_name"] = "made_up"
        path.write_text(json.dumps(config))
    refusal(layout, folder)


@every_layout
def test_a_configuration_that_is_no_json(tmp_path: Path, checkpoint: Checkpoint, layout: str) -> None:
    folder = spoilt(tmp_path, checkpoint(layout))
    for path in folder.rglob(LAYOUTS[layout].configurations):
        path.write_text('{"model_type": ')
    refusal(layout, folder)


FULL = """
import resource, signal, sys
from multi2vec.convert import command
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
sys.exit(command.main(["demo", "--out", sys.argv[2]]))
"""


@pytest.mark.parametrize(
    ("limit", "says"), [(2_500, "File too large"), (1_000_000, "OpenVINO could not write a graph")]
)
def test_a_disk_that_takes_no_more(tmp_path: Path, limit: int, says: str) -> None:
    """A limit on the size of files fails as a full disk does: our own writing, and OpenVINO's."""
    done = python("-c", FULL, str(limit), str(tmp_path / "model"))
    assert done.returncode == 1, done.stderr
    assert f"demo was not converted: {tmp_path}/model cannot be written: {says}" in done.stderr
    assert "MB are free there)" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def write(target: Path, error: Exception) -> None:
    with export.atomic_folder(target) as folder:
        (folder / "file").write_text("half")
        raise error


def test_a_full_disk_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"model cannot be written: No space left on device \(\d+ MB are free"):
        write(tmp_path / "model", OSError(errno.ENOSPC, "full"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "gone", "samples"),
        PermissionError(errno.EACCES, "no", "/elsewhere/file"),
        RuntimeError("a fault of ours"),
    ],
)
def test_other_errors_pass(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)) as passed, disk.writing(tmp_path / "model"):
        raise error
    assert passed.value is error


def test_a_target_below_a_file_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConversionError, match="file is no folder that you may write to"):
        export.check_replaceable(tmp_path / "file" / "deep" / "model")
