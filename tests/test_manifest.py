import dataclasses
import json
from pathlib import Path

import pytest

from inference import manifest as manifests
from inference.manifest import Manifest, ManifestError
from tests import toy


@pytest.fixture
def plain() -> Manifest:
    return toy.manifest({"text.xml": "0", "image.xml": "0", "tokenizer.json": "0"})


def changed(manifest: Manifest, **keys: object) -> str:
    return json.dumps(json.loads(manifest.to_json()) | keys)


def test_what_was_written_is_read_back(plain: Manifest) -> None:
    assert manifests.parse(plain.to_json()) == plain
    assert plain.modalities == ("text", "image")


def test_keys_of_later_versions_are_ignored(plain: Manifest) -> None:
    data = json.loads(plain.to_json()) | {"video": {"frames": 8}}
    data["text"]["task_prompts"] = {"a": "b"}
    assert manifests.parse(json.dumps(data)) == plain


def test_keys_with_defaults_may_be_missing(plain: Manifest) -> None:
    data = json.loads(plain.to_json())
    for key in ("cut_dimensions", "description", "parity", "examples"):
        del data[key]
    assert manifests.parse(json.dumps(data)).cut_dimensions == ()


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"schema": 2}, "schema 2, this version reads 1"),
        ({"schema": None}, "schema None"),
        ({"dimensions": "512"}, "dimensions is not of type int"),
        ({"dimensions": True}, "dimensions is not of type int"),
        ({"languages": "en"}, "languages is not a list"),
        ({"precision": "int4"}, "precision is 'int4', which this version does not know"),
        ({"towers": {}}, "names the tower 'image', which it does not describe"),
        ({"image": None, "text": None}, "describes neither texts nor pictures"),
        ({"files": {}}, "without a checksum"),
        (
            {"files": dict.fromkeys(("text.xml", "image.xml", "tokenizer.json", "../"), "0")},
            "outside the model folder",
        ),
        ({"text": {"tower": "text"}}, "text has no 'max_length'"),
        ({"sources": [3]}, "sources[0] is not an object"),
    ],
)
def test_a_broken_manifest_is_refused_with_a_sentence(plain: Manifest, keys: dict[str, object], sentence: str) -> None:
    with pytest.raises(ManifestError) as error:
        manifests.parse(changed(plain, **keys))
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"manifest"'])
def test_what_is_no_manifest_is_refused(text: str) -> None:
    with pytest.raises(ManifestError, match=r"manifest\.json"):
        manifests.parse(text)


def test_a_folder_without_a_manifest(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="is not a model folder"):
        manifests.read(tmp_path)


def test_missing_and_changed_files_are_found(tmp_path: Path) -> None:
    folder = toy.write(tmp_path)
    manifest = manifests.read(folder)
    manifests.verify_files(folder, manifest)
    weights = folder / "image.bin"
    data = bytearray(weights.read_bytes())
    data[100] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ManifestError, match=r"is damaged: image\.bin does not have the checksum"):
        manifests.verify_files(folder, manifest)
    manifests.verify_files(folder, manifest, checksums=False)
    weights.unlink()
    with pytest.raises(ManifestError, match=r"is not complete: image\.bin is missing"):
        manifests.verify_files(folder, manifest, checksums=False)


def test_a_manifest_cannot_be_changed(plain: Manifest) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        plain.tag = "other"  # type: ignore[misc]
