"""What an image holds: sizes, files, configuration, labels, list of parts."""

from __future__ import annotations

import json
import re
from typing import Any

from multi2vec.manifest import Manifest
from tests.conftest import Figure
from tests.container.container import Container, docker, inspect
from tests.container.images import DEMO, RANDOM
from tests.server import ROOT

MB = 1_000_000
MOST_ADDED_MB = 330
LABELS = "io.github.multi2vec-openvino"

# Of a container's files, none may be one of these.
UNWANTED = re.compile(
    r"/site-packages/(torch|torchvision|transformers|open_clip|sentence_transformers|timm|pip|setuptools)(/|$)"
    r"|^/app/(?!multi2vec|LICENSE|sbom|notices)|/multi2vec/convert|/tests(/|$)|^/(build|out)(/|$)|/\.cache/"
    r"|\.git(/|$)|\.env$|id_rsa|\.pem$|hf_token|_intel_[gn]pu_plugin|libopenvino_(onnx|tensorflow|paddle|pytorch)_frontend"
)
# The base image's own; the trust store is public.
OF_THE_BASE = re.compile(r"^/(etc|usr|var|lib|proc|sys|dev)/|/certifi/cacert\.pem$")


def layers(image: str) -> list[tuple[int, str]]:
    """Size in bytes and origin of each layer, the last one first."""
    lines = docker("history", "--no-trunc", "--human=false", "--format={{.Size}}\t{{.CreatedBy}}", image).splitlines()
    return [(int(size), origin) for size, _, origin in (line.partition("\t") for line in lines) if int(size)]


class TestSize:
    def test_what_is_added_to_the_base_without_the_model(self, image: str, figure: Figure) -> None:
        ours = [(size, origin) for size, origin in layers(image) if re.match(r"(COPY|RUN|ADD) ", origin)]
        for size, origin in ours:
            figure(f"{image}: {size / MB:.2f} MB, {origin[:60]}")
        added = sum(size for size, origin in ours if not origin.startswith("COPY /out"))
        assert 100 * MB < added <= MOST_ADDED_MB * MB
        assert len(ours) < len(layers(image)), "the base image's layer is not among them"

    def test_images_share_all_but_the_model(self) -> None:
        demo, random = (inspect(name, "image")["RootFS"]["Layers"] for name in (DEMO, RANDOM))
        # The model, with the list of parts that names it.
        assert demo[:-1] == random[:-1]
        assert demo[-1] != random[-1]


class TestContent:
    def test_neither_build_tools_nor_secrets_are_in_it(self, container: Container) -> None:
        files = container.files()
        assert any(name.endswith("libopenvino_intel_cpu_plugin.so") for name in files)
        unwanted = [name for name in files if UNWANTED.search(name) and not OF_THE_BASE.search(name)]
        assert unwanted == []

    def test_its_user_cannot_change_code_packages_or_model(self, container: Container) -> None:
        writable = container.run("find", "/app", "/opt", "/model", "-writable", "-not", "-type", "l")
        # The container's root is read-only here; where it is not, the files' owner decides.
        assert writable == ""
        assert container.run("find", "/app", "/opt", "/model", "-not", "-user", "root") == ""

    def test_code_is_compiled_beforehand(self, container: Container) -> None:
        sources = container.run("find", "/app", "-name", "*.py").splitlines()
        compiled = container.run("find", "/app", "-name", "*.pyc").splitlines()
        assert len(sources) == len(compiled) > 20


class TestConfiguration:
    def test_how_it_starts(self, known: dict[str, Any]) -> None:
        config = known["Config"]
        assert config["User"] == "10001:0"
        assert list(config["ExposedPorts"]) == ["8080/tcp"]
        # Not through a shell: SIGTERM reaches the server.
        assert config["Entrypoint"] == ["python", "-m", "multi2vec"]
        assert config["Cmd"] == ["serve"]
        assert config["Healthcheck"]["Test"] == ["CMD", "python", "-m", "multi2vec", "health"]

    def test_labels(self, image: str, known: dict[str, Any], manifest: Manifest) -> None:
        labels = known["Config"]["Labels"]
        assert labels[f"{LABELS}.tag"] == manifest.tag == image.partition(":")[2]
        assert labels[f"{LABELS}.model"] == " + ".join(source.name for source in manifest.sources)
        assert labels[f"{LABELS}.model.licence"] == manifest.licence
        assert labels[f"{LABELS}.fingerprint"] == manifest.fingerprint
        smallest = min(outputs["dense"]["smallest_cosine"] for outputs in manifest.parity["f32"].values())
        assert f"f32 {smallest:.7g}" in labels[f"{LABELS}.parity"]
        for name in ("title", "description", "version", "revision", "licenses", "created"):
            assert labels[f"org.opencontainers.image.{name}"], name

    def test_no_secret_is_in_its_history(self, image: str) -> None:
        history = docker("history", "--no-trunc", "--format={{.CreatedBy}}", image)
        assert "hf_token" not in history.lower().replace("id=hf_token", "")


class TestParts:
    def test_the_list_is_of_what_is_installed(self, image: str, container: Container, manifest: Manifest) -> None:
        listed = json.loads(container.run("cat", "/app/sbom.cdx.json"))
        kept = ROOT / "build" / image.partition(":")[2] / "sbom.cdx.json"
        assert json.loads(kept.read_text()) == listed
        code = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"
        installed = json.loads(container.run("python", "-c", code))
        parts = {part["name"]: part for part in listed["components"]}
        model = parts.pop(manifest.tag)
        assert {name: part["version"] for name, part in parts.items()} == installed
        assert {part["name"]: part["hashes"][0]["content"] for part in model["components"]} == manifest.files

    def test_the_model_s_files_have_its_checksums(self, container: Container, manifest: Manifest) -> None:
        lines = container.run("sh", "-c", "cd /model && sha256sum *").splitlines()
        actual = {name: digest for digest, name in (line.split() for line in lines)}
        assert {name: actual[name] for name in manifest.files} == manifest.files
        assert set(actual) == {*manifest.files, "manifest.json"}
