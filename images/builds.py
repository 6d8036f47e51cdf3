"""What build_images.sh reads and writes: `python3 images/builds.py COMMAND …`. Standard library only.

fingerprint PATH…       a hash of these files and folders, and of what comes on standard input
labels MANIFEST EXTRAS  the image's labels that follow from the model and the extras, one per line
parity MANIFEST         the smallest cosine to the original library, by arithmetic
reason LOG              why that build failed, in one line
table                   rows of fields, separated by tabs, as a table
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

PREFIX = "io.github.multi2vec-openvino"

# Lines of BuildKit's plain progress: "#12 3.4 what a step printed" and "#12 ERROR: …".
STEP = re.compile(r"^#(\d+) (?:[\d.]+ (.*)|ERROR: (.*))$")
# How engines say that something failed without saying what.
HOLLOW = re.compile(
    r"^(-*|time=.*|error building at STEP .*|executor failed running .*|subprocess exited with .*|exit status \d+"
    r"|ERRO\[.*|Error: (building at STEP|exit status) .*)$"
)
# What packages of extras add to the licences of the image's contents: requirements/notices/av.md says why.
LICENCES = {"video": ["GPL-3.0-or-later"]}
CREATIVE_COMMONS = re.compile(r"cc-by(-nc)?(-sa|-nd)?-[1-4]\.[05]|cc0-1\.0")
VERDICT = "was not converted:"


def fingerprint(paths: Sequence[str], settings: bytes) -> str:
    """Changes when a file's path or content does, or the settings."""
    digest = hashlib.sha256(settings)
    for file in (file for path in paths for file in _files(Path(path))):
        digest.update(b"\0%s\0%d\0" % (os.fsencode(file), file.stat().st_size))
        with file.open("rb") as content:
            while block := content.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    elif path.is_dir() and path.name != "__pycache__":
        for each in sorted(path.iterdir()):
            yield from _files(each)


def labels(manifest: dict[str, Any], extras: Sequence[str] = ()) -> dict[str, str]:
    """The labels that follow from the model and the extras."""
    sources = manifest["sources"]
    licence = manifest["licence"]
    licences = ["Apache-2.0", spdx(licence), *(each for extra in extras for each in LICENCES.get(extra, []))]
    return {
        f"{PREFIX}.tag": manifest["tag"],
        f"{PREFIX}.model": " + ".join(each["name"] for each in sources),
        f"{PREFIX}.model.revision": " + ".join(each["revision"] or "none" for each in sources),
        f"{PREFIX}.model.licence": licence,
        f"{PREFIX}.model.licence.non-commercial": str(manifest.get("non_commercial", False)).lower(),
        f"{PREFIX}.model.weights": manifest["precision"],
        f"{PREFIX}.parity": parity(manifest),
        f"{PREFIX}.parity.mean": parity(manifest, "mean_cosine"),
        f"{PREFIX}.fingerprint": manifest["fingerprint"],
        "org.opencontainers.image.licenses": " AND ".join(dict.fromkeys(licences)),
    }


def spdx(licence: str) -> str:
    """The hub's name of a licence as SPDX writes it (https://spdx.org/licenses)."""
    known = {"apache-2.0": "Apache-2.0", "mit": "MIT"}
    if CREATIVE_COMMONS.fullmatch(licence.lower()):
        return licence.upper()
    return known.get(licence.lower()) or "LicenseRef-" + re.sub(r"[^A-Za-z0-9.-]+", "-", licence)


def parity(manifest: dict[str, Any], figure: str = "smallest_cosine") -> str:
    """The smallest cosine of any sample, whatever its modality, in f32 and in bf16; or that it is not used, or was
    not measured. Of another figure the smallest of any modality and output.

    The manifest has figures by precision, modality and output, or a sentence instead.
    """
    return ", ".join(f"{name} {worst(manifest['parity'].get(name), figure)}" for name in ("f32", "bf16"))


def worst(figures: Any, wanted: str) -> str:
    """The smallest figure of that name in one precision, or the beginning of the sentence that stands there instead."""
    if isinstance(figures, str):
        return figures.split(":")[0]
    found = list(_found(figures, wanted))
    return f"{min(found):.7g}" if found else "not measured"


def _found(figures: Any, wanted: str) -> Iterator[float]:
    """Every figure of that name in nested ones."""
    if isinstance(figures, dict):
        for name, value in figures.items():
            if name == wanted:
                yield value
            else:
                yield from _found(value, wanted)


def reason(log: str) -> str:
    """The last words of the step that failed; else the last line of the log that says something."""
    steps: dict[str, list[str]] = {}
    rest: list[str] = []
    for line in log.splitlines():
        found = STEP.match(line)
        if found is None:
            rest.append(line)
        elif found[3] is None:
            steps.setdefault(found[1], []).append(found[2])
        else:
            return _last_words(steps.get(found[1], [])) or found[3]
    return _last_words(rest) or "the log is empty"


def _last_words(lines: Sequence[str]) -> str:
    said = [line.strip() for line in lines if not HOLLOW.match(line.strip())]
    verdicts = [number for number, line in enumerate(said) if VERDICT in line]
    # It may go over several lines, and a cell of the table has no room for a tab or for colours.
    words = " ".join(said[verdicts[-1] :] if verdicts else said[-1:])
    return re.sub(r"\s+", " ", re.sub(r"\x1b\[[\d;]*m", "", words))


def table(rows: Sequence[Sequence[str]]) -> str:
    """The rows with their columns aligned; sizes and times to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [cell.rjust(width) if number in (1, 2) else cell.ljust(width)
                 for number, (cell, width) in enumerate(zip(row, widths, strict=True))]  # fmt: skip
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def main(command: str = "", *arguments: str) -> None:
    """Prints what the command asks for."""
    if command == "fingerprint":
        print(fingerprint(arguments, sys.stdin.buffer.read()))
    elif command == "labels":
        path, extras = arguments
        print("\n".join(f"{name}={value}" for name, value in labels(_manifest(path), extras.split()).items()))
    elif command == "parity":
        print(parity(_manifest(*arguments)))
    elif command == "reason":
        print(reason(Path(*arguments).read_text(errors="replace")))
    elif command == "table":
        print(table([line.split("\t") for line in sys.stdin.read().splitlines()]))
    else:
        sys.exit(__doc__)


def _manifest(path: str) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    return manifest


if __name__ == "__main__":
    main(*sys.argv[1:])
