"""The list of an image's parts: `python -m multi2vec.convert.sbom MODEL --packages PYTHON --notices DIR --out FILE`.

CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/): the packages of the environment that serves, and the libraries
that they bring along, with versions and licences, and the model with the SHA-256 of each of its files. What the base
image holds is the base image's to list.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import uuid
from pathlib import Path

from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression, LicenseRepository
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from license_expression import get_spdx_licensing
from packageurl import PackageURL

from multi2vec import __version__, manifest
from multi2vec.convert import bundled
from multi2vec.convert.bundled import BundleError, Library
from multi2vec.manifest import Manifest


def main(arguments: list[str] | None = None) -> int:
    """Run the command line. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m multi2vec.convert.sbom", description="List an image's parts.")
    parser.add_argument("model", type=Path, metavar="MODEL", help="the model folder")
    parser.add_argument("--packages", metavar="PYTHON", required=True, help="the interpreter of the environment")
    parser.add_argument("--notices", type=Path, metavar="DIR", required=True, help="what packages bring along")
    parser.add_argument("--out", type=Path, metavar="FILE", required=True, help="the file to write")
    options = parser.parse_args(arguments)
    try:
        text = describe(manifest.read(options.model), options.packages, options.notices)
    except BundleError as error:
        print(error, file=sys.stderr)
        return 1
    if fault := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        print(f"the list does not fit CycloneDX's schema: {fault}", file=sys.stderr)
        return 1
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(text, encoding="utf-8")
    return 0


def describe(model: Manifest, python: str, notices: Path) -> str:
    """The list as JSON, the same for the same parts: no time and no random number is in it. Raises `BundleError`."""
    listed = _run(sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible", "--sv", "1.6", python)
    bom: Bom = Bom.from_json(json.loads(listed))  # type: ignore[attr-defined]
    bom.metadata.component = Component(
        type=ComponentType.APPLICATION, name="multi2vec-openvino", version=__version__, bom_ref="multi2vec-openvino"
    )
    bom.metadata.timestamp = None  # type: ignore[assignment]
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(model.files, sort_keys=True) + listed)
    for package in list(bom.components):
        add_bundled(bom, package, python, notices)
    bom.components.add(model_part(model))
    bom.register_dependency(bom.metadata.component, bom.components)
    return JsonV1Dot6(bom).output_as_string(indent=1)


def _run(*command: str) -> str:
    """What a command prints."""
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout  # noqa: S603


def add_bundled(bom: Bom, package: Component, python: str, notices: Path) -> None:
    """Adds the libraries that a package of that environment brings along. Raises `BundleError`."""
    notice = notices / f"{package.name}.md"
    if notice.exists():
        site_packages = _run(python, "-c", "import sysconfig; print(sysconfig.get_path('platlib'))").strip()
        parts = [library_part(each, package) for each in bundled.present(notice, Path(site_packages))]
        bom.components.update(parts)
        bom.register_dependency(package, parts)


def library_part(library: Library, package: Component) -> Component:
    """A library that a package brings along."""
    return Component(
        type=ComponentType.LIBRARY,
        name=library.name,
        version=library.version,
        description=f"brought along by {package.name}: {', '.join(sorted(library.files))}",
        bom_ref=f"{package.name}/{library.name}",
        purl=PackageURL("generic", name=library.name.lower(), version=library.version),
        licenses=LicenseRepository([LicenseExpression(library.licence)]),
        external_references=[ExternalReference(type=ExternalReferenceType.WEBSITE, url=XsUri(library.address))],
    )


def model_part(model: Manifest) -> Component:
    """The model, and inside it its files with their checksums."""
    files = [
        Component(
            type=ComponentType.FILE,
            name=name,
            bom_ref=f"model/{name}",
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
        )
        for name, digest in model.files.items()
    ]
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=model.tag,
        version=", ".join(source.revision or "unpinned" for source in model.sources),
        description="; ".join(source.name for source in model.sources),
        bom_ref="model",
        licenses=LicenseRepository([_licence(model.licence)]),
        components=files,
    )


def _licence(name: str) -> DisjunctiveLicense:
    """By its SPDX id where it has one."""
    known = {key.lower(): key for key in get_spdx_licensing().known_symbols}
    spdx = known.get(name.lower())
    return DisjunctiveLicense(id=spdx) if spdx else DisjunctiveLicense(name=name)


if __name__ == "__main__":
    sys.exit(main())
