"""The libraries that a package's wheel brings along. Nothing in the wheel says their versions and licences, so a notice
does: a file `<package>.md` in requirements/notices/, whose table is read here.

auditwheel puts such libraries into a folder `<package>.libs` beside the package, with a checksum in their names
(https://github.com/pypa/auditwheel).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from multi2vec.convert.errors import ConversionError

ROW = re.compile(
    r"^\| (?P<name>.+?) \| (?P<version>.+?) \| (?P<licence>.+?) \| (?P<address>https://\S+) \| (?P<files>.+) \|$"
)
CHECKSUM = re.compile(r"-[0-9a-f]{8}(?=\.so)")


class BundleError(ConversionError):
    """A notice does not say what a package brings along."""


@dataclass(frozen=True)
class Library:
    """A row of a notice's table: licence is an SPDX expression, files are names without checksums."""

    name: str
    version: str
    licence: str
    address: str
    files: frozenset[str]


def read(notice: Path) -> list[Library]:
    """The libraries in a notice's table."""
    rows = [match for line in notice.read_text(encoding="utf-8").splitlines() if (match := ROW.match(line))]
    return [
        Library(row["name"], row["version"], row["licence"], row["address"], frozenset(row["files"].split()))
        for row in rows
    ]


def files(folder: Path) -> set[str]:
    """The names of the libraries in a package's folder, without their checksums."""
    return {CHECKSUM.sub("", path.name) for path in folder.glob("*.so*")}


def present(notice: Path, site_packages: Path) -> list[Library]:
    """Those of a notice's libraries that are installed: wheels for some architectures have fewer. Raises `BundleError`
    for a file that the notice does not list."""
    listed = read(notice)
    found = files(site_packages / f"{notice.stem}.libs")
    unknown = found - _all_files(listed)
    if unknown:
        raise BundleError(f"{notice.name} does not list what {notice.stem} brings along: {', '.join(sorted(unknown))}")
    return [library for library in listed if library.files & found]


def _all_files(libraries: Iterable[Library]) -> set[str]:
    return {file for library in libraries for file in library.files}
