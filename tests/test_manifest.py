import dataclasses
import itertools
import json
from pathlib import Path

import pytest

from multi2vec import manifest as manifests
from multi2vec import specs
from multi2vec.engine.preparers.layouts import LAYOUTS
from multi2vec.layouts import GemmaLayout, HdLayout, Layout, PatchLayout, Resize
from multi2vec.manifest import Manifest, ManifestError, fingerprint_of
from tests import toy, toy_fused


@pytest.fixture
def plain() -> Manifest:
    return toy.manifest({"text.xml": "0", "image.xml": "0", "tokenizer.json": "0"})


def changed(manifest: Manifest, **keys: object) -> str:
    return json.dumps(json.loads(manifest.to_json()) | keys)


def test_what_was_written_is_read_back(plain: Manifest) -> None:
    assert manifests.parse(plain.to_json()) == plain
    assert plain.modalities == ("text", "image")


PICTURES: tuple[Layout, ...] = (
    PatchLayout(14, 2, (Resize(28, 784, 15680), Resize(28, 3136, 15680, beyond="clamp")), frames=2),
    GemmaLayout(edge=16, pooled=3, most=280),
    HdLayout(4),
)


@pytest.mark.parametrize("layout", PICTURES)
def test_layouts_of_pictures_are_read_back(tmp_path: Path, layout: Layout) -> None:
    written = manifests.read(toy_fused.write(tmp_path, spec=dataclasses.replace(toy_fused.SPEC, layout=layout)))
    assert written.spec("fused").layout == layout
    assert manifests.parse(written.to_json()) == written


def test_layouts_of_pictures_are_told_apart_by_the_fields_that_they_must_have() -> None:
    kinds = {kind: dataclasses.fields(kind) for kind in LAYOUTS}
    assert set(kinds) == {type(layout) for layout in PICTURES}
    for one, other in itertools.permutations(kinds.values(), 2):
        needed = {each.name for each in one if each.default is dataclasses.MISSING}
        assert not needed <= {each.name for each in other}


def test_keys_of_later_versions_are_ignored(plain: Manifest) -> None:
    data = json.loads(plain.to_json()) | {"colour": {"frames": 8}}
    data["inputs"]["text"]["task_prompts"] = {"a": "b"}
    assert manifests.parse(json.dumps(data)) == plain


def test_keys_with_defaults_may_be_missing(plain: Manifest) -> None:
    data = json.loads(plain.to_json())
    for key in ("cut_dimensions", "description", "parity", "examples"):
        del data[key]
    assert manifests.parse(json.dumps(data)).cut_dimensions == ()


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"schema": 1}, "schema 1, this version reads 2"),
        ({"schema": None}, "schema None"),
        ({"dimensions": "512"}, "dimensions is not a whole number"),
        ({"dimensions": True}, "dimensions is not a whole number"),
        ({"dimensions": 8}, "has vectors of 8 dimensions, its tower 'text' of 16"),
        ({"languages": "en"}, "languages is not a list"),
        ({"precision": "int3"}, "precision is 'int3'; it can be 'fp32', 'fp16', 'int8', 'int4'"),
        ({"towers": {}}, "names the tower 'text', which it does not describe"),
        ({"inputs": {}}, "describes no inputs"),
        ({"inputs": {"smell": {"tower": "text"}}}, "inputs of the kind 'smell'; known are text, image, fused"),
        ({"inputs": {"text": {"tower": "text"}}}, "text has no 'max_length'"),
        ({"files": {}}, "without a checksum"),
        (
            {"files": dict.fromkeys(("text.xml", "image.xml", "tokenizer.json", "../"), "0")},
            "outside the model folder",
        ),
        ({"sources": [3]}, "sources[0] is not an object"),
        ({"normalise": False}, "manifest.json was changed: its fingerprint is"),
    ],
)
def test_a_broken_manifest_is_refused_with_a_sentence(plain: Manifest, keys: dict[str, object], sentence: str) -> None:
    with pytest.raises(ManifestError) as error:
        manifests.parse(changed(plain, **keys))
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


class TestFingerprint:
    @pytest.mark.parametrize(
        "keys",
        [
            {"weights": "1"},
            {"normalise": False},
            {"inputs": {"text": toy.TEXT}},
            {"inputs": {"text": dataclasses.replace(toy.TEXT, max_length=5), "image": toy.PICTURE}},
            {"inputs": {"text": toy.TEXT, "image": dataclasses.replace(toy.PICTURE, transparency="white")}},
            {"files": {"text.xml": "0", "image.xml": "0", "tokenizer.json": "1"}},
        ],
    )
    def test_what_changes_vectors_changes_it(self, plain: Manifest, keys: dict[str, object]) -> None:
        other = dataclasses.replace(plain, **keys)  # type: ignore[arg-type]
        assert fingerprint_of(other) != plain.fingerprint
        assert manifests.with_fingerprint(other).fingerprint == fingerprint_of(other)

    @pytest.mark.parametrize(
        "keys",
        [
            {"tag": "other"},
            {"precision": "fp16"},
            {"libraries": {"openvino": "2030"}},
            {"parity": {}},
            {"files": {"text.xml": "1", "image.xml": "0", "tokenizer.json": "0"}},
        ],
    )
    def test_what_does_not_leaves_it(self, plain: Manifest, keys: dict[str, object]) -> None:
        assert fingerprint_of(dataclasses.replace(plain, **keys)) == plain.fingerprint  # type: ignore[arg-type]

    def test_a_spec_that_later_gets_an_optional_key_keeps_it(self, plain: Manifest) -> None:
        @dataclasses.dataclass(frozen=True)
        class Later(specs.TextSpec):
            sparkle: bool = False

        later = Later(**{each.name: getattr(toy.TEXT, each.name) for each in dataclasses.fields(toy.TEXT)})
        inputs = {"text": later, "image": toy.PICTURE}
        assert fingerprint_of(dataclasses.replace(plain, inputs=inputs)) == plain.fingerprint

    def test_a_spec_within_a_spec_too(self, plain: Manifest) -> None:
        @dataclasses.dataclass(frozen=True)
        class Later(specs.Prompt):
            sparkle: bool = False

        def of(prompt: specs.Prompt) -> str:
            text = dataclasses.replace(toy.TEXT, prompts={"query": prompt})
            return fingerprint_of(dataclasses.replace(plain, inputs={"text": text, "image": toy.PICTURE}))

        now = of(specs.Prompt("query: "))
        assert of(Later("query: ")) == now
        changed = [Later("query: ", sparkle=True), specs.Prompt("query: ", adapter=0), specs.Prompt("query:")]
        assert len({now, *map(of, changed)}) == 4


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
