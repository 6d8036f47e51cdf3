"""The names of models."""

import subprocess
import sys
from pathlib import Path

import pytest

from multi2vec import names


@pytest.fixture
def recipes(tmp_path: Path) -> Path:
    (tmp_path / "Small.toml").write_text('aliases = ["Group/small"]\n[source]\nrepository = "owner/small"\n')
    (tmp_path / "large.toml").write_text('aliases = ["Group/large", "same"]\n[source]\narchitecture = "L"\n')
    (tmp_path / "pair.toml").write_text('aliases = ["same"]\n[source.texts]\nrepository = "owner/texts"\n')
    (tmp_path / "wide.toml").write_text('variant_of = "Small"\n[source]\nrepository = "owner/small"\n')
    (tmp_path / "broken.toml").write_text("aliases =")
    return tmp_path


def test_tags_are_in_order_whatever_their_case(recipes: Path) -> None:
    assert names.tags(recipes) == ["broken", "large", "pair", "Small", "wide"]


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("Small", "Small"),
        ("broken", "broken"),
        ("Group/small", "Small"),
        ("owner/small", "Small"),
        ("Group/large", "large"),
        # Case counts; what two models have, or one of two sources, means neither.
        ("small", None),
        ("group/small", None),
        ("same", None),
        ("owner/texts", None),
        ("", None),
    ],
)
def test_what_a_name_means(recipes: Path, name: str, tag: str | None) -> None:
    assert names.resolve(name, recipes) == tag


def test_similar_names_are_offered(recipes: Path) -> None:
    assert "near it are Small, " in names.unknown("small", recipes)
    assert "owner/small" in names.unknown("small", recipes)
    assert "near it are large" in names.unknown("largo", recipes)
    assert "none has a name like it" in names.unknown("xyz", recipes)


def test_it_is_a_program_of_its_own(recipes: Path) -> None:
    """build_images.sh runs it with whatever Python there is."""

    def run(name: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", "-S", names.__file__, str(recipes), name]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert run("owner/small").stdout == "Small\n"
    assert (run("none").returncode, run("none").stdout) == (1, "")


def test_a_python_that_cannot_read_recipes_knows_the_tags(recipes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tomllib", None)
    assert names.resolve("Small", recipes) == "Small"
    assert names.resolve("Group/small", recipes) is None
