"""What models are called: the tags of recipes, and the names that the same models have elsewhere.

Standard library only, without the rest of the package: build_images.sh runs this file as a program,
`names.py IMAGES NAME`, which prints the name's tag.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

# How many near matches a refusal names.
NEAR = 6


def tags(folder: Path) -> list[str]:
    """The tags that the folder has recipes for, capital and small letters alike in order."""
    return sorted((path.stem for path in folder.glob("*.toml")), key=lambda tag: (tag.casefold(), tag))


def resolve(name: str, folder: Path) -> str | None:
    """The tag that is meant: the name itself, or that of the one recipe which has it as another name; else None."""
    if name in tags(folder):
        return name
    meant = {tag for tag, other in all_aliases(folder) if other == name}
    return meant.pop() if len(meant) == 1 else None


def aliases(recipe: Mapping[str, Any]) -> list[str]:
    """The other names of the model of a recipe, given as the table that the file holds: those in `aliases`, and the
    repository if there is one source; that of a variant means the other recipe."""
    found = recipe.get("aliases", [])
    names = [each for each in found if isinstance(each, str)] if isinstance(found, list) else []
    source = recipe.get("source")
    repository = source.get("repository") if isinstance(source, dict) and "variant_of" not in recipe else None
    return [*names, *([repository] if isinstance(repository, str) and repository not in names else [])]


def all_aliases(folder: Path) -> Iterator[tuple[str, str]]:
    """Each tag with each other name of its model. A file that cannot be read has none."""
    try:
        import tomllib
    except ImportError:
        # Before Python 3.11, which may be what a machine has that only builds images: there tags alone are known.
        return
    for tag in tags(folder):
        try:
            recipe = tomllib.loads((folder / f"{tag}.toml").read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError):
            continue
        for other in aliases(recipe):
            yield tag, other


def unknown(name: str, folder: Path) -> str:
    """A sentence for a name that means no recipe, with the names that are like it."""
    found = near(name, [*tags(folder), *(other for _, other in all_aliases(folder))])
    rest = f"near it are {', '.join(found)}" if found else "none has a name like it"
    return f"there is no recipe for {name!r}; {rest} (multi2vec convert --list shows all)"


def near(name: str, known: list[str]) -> list[str]:
    """Those of the known names that are like it: first those that contain it, then those with similar letters."""
    plain = {each.casefold(): each for each in known}
    wanted = name.casefold()
    containing = [each for each in plain if len(wanted) > 2 and wanted in each]
    similar = difflib.get_close_matches(wanted, plain, NEAR)
    return [plain[each] for each in dict.fromkeys([*containing, *similar])][:NEAR]


def main(folder: str, name: str) -> int:
    """Print the name's tag. Returns the exit status: 1, with a sentence, when no recipe is meant."""
    tag = resolve(name, Path(folder))
    print(tag or unknown(name, Path(folder)), file=sys.stdout if tag else sys.stderr)
    return 0 if tag else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
