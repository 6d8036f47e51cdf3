"""The list of an image's parts."""

import json
import shutil
import venv
from importlib.metadata import distribution, version
from pathlib import Path

from multi2vec import manifest
from multi2vec.convert import sbom
from tests.server import DEMO


def environment(folder: Path, *packages: str) -> str:
    """The interpreter of an environment in which these packages seem to be installed."""
    venv.create(folder, with_pip=False)
    (site,) = folder.glob("lib/python*/site-packages")
    for package in packages:
        described = Path(str(distribution(package).locate_file(""))) / f"{package}-{version(package)}.dist-info"
        shutil.copytree(described, site / described.name)
    return str(folder / "bin" / "python")


def test_packages_and_model_with_versions_licences_and_checksums(tmp_path: Path) -> None:
    python = environment(tmp_path / "environment", "openvino", "numpy")
    out = tmp_path / "folder" / "sbom.cdx.json"
    assert sbom.main([str(DEMO), "--packages", python, "--out", str(out)]) == 0
    made = json.loads(out.read_text())
    assert (made["bomFormat"], made["specVersion"]) == ("CycloneDX", "1.6")
    parts = {part["name"]: part for part in made["components"]}
    assert set(parts) == {"openvino", "numpy", "demo"}
    assert parts["openvino"]["version"] == version("openvino")
    assert parts["openvino"]["purl"] == f"pkg:pypi/openvino@{version('openvino')}"
    model = parts["demo"]
    assert model["type"] == "machine-learning-model"
    assert model["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    files = {part["name"]: part["hashes"][0]["content"] for part in model["components"]}
    assert files == {name: manifest.sha256(DEMO / name) for name in manifest.read(DEMO).files}
    # Equal parts, equal list: no time and no random number.
    assert sbom.describe(manifest.read(DEMO), python) == out.read_text()
