"""The list of an image's parts."""

import json
import shutil
import venv
from importlib.metadata import distribution, version
from pathlib import Path

import pytest

from multi2vec import manifest
from multi2vec.convert import bundled, sbom
from tests.server import DEMO, ROOT

NOTICES = ROOT / "requirements" / "notices"


def site_packages(package: str) -> Path:
    """Where that package is installed."""
    return Path(str(distribution(package).locate_file("")))


def environment(folder: Path, *packages: str) -> str:
    """The interpreter of an environment in which these packages seem to be installed, with what they bring along."""
    venv.create(folder, with_pip=False)
    (site,) = folder.glob("lib/python*/site-packages")
    for package in packages:
        described = site_packages(package) / f"{package}-{version(package)}.dist-info"
        shutil.copytree(described, site / described.name)
        brought = described.with_name(f"{package}.libs")
        if brought.exists():
            (site / brought.name).symlink_to(brought)
    return str(folder / "bin" / "python")


def test_packages_and_model_with_versions_licences_and_checksums(tmp_path: Path) -> None:
    python = environment(tmp_path / "environment", "openvino", "numpy")
    out = tmp_path / "folder" / "sbom.cdx.json"
    assert sbom.main([str(DEMO), "--packages", python, "--notices", str(NOTICES), "--out", str(out)]) == 0
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
    assert sbom.describe(manifest.read(DEMO), python, NOTICES) == out.read_text()


def test_the_libraries_that_a_package_brings_along(tmp_path: Path) -> None:
    python = environment(tmp_path / "environment", "av", "numpy")
    made = json.loads(sbom.describe(manifest.read(DEMO), python, NOTICES))
    parts = {part["name"]: part for part in made["components"]}
    expected = {library.name for library in bundled.present(NOTICES / "av.md", site_packages("av"))}
    assert {"FFmpeg", "x264", "x265"} < expected
    assert set(parts) == {"av", "numpy", "demo"} | expected
    x264 = parts["x264"]
    assert x264["licenses"] == [{"expression": "GPL-2.0-or-later"}]
    assert x264["purl"] == f"pkg:generic/x264@{x264['version']}"
    needs = {each["ref"]: each.get("dependsOn", []) for each in made["dependencies"]}
    assert {f"av/{name}" for name in expected} <= set(needs[parts["av"]["bom-ref"]])


def test_a_library_that_no_notice_lists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    python = environment(tmp_path / "environment", "av")
    notice = (NOTICES / "av.md").read_text()
    (tmp_path / "av.md").write_text("".join(line for line in notice.splitlines(True) if not line.startswith("| x265 ")))
    options = ["--packages", python, "--notices", str(tmp_path), "--out", str(tmp_path / "list")]
    assert sbom.main([str(DEMO), *options]) == 1
    assert "av.md does not list what av brings along: libx265.so." in capsys.readouterr().err
    assert not (tmp_path / "list").exists()
