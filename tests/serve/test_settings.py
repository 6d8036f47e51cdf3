import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from multi2vec.serve.settings import Settings, table
from tests.server import ROOT


def test_nothing_needs_to_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TAG", "MODEL_DIR", "PORT", "HOST"):
        monkeypatch.delenv(name, raising=False)
    settings = Settings()
    assert settings.port == 8080
    assert settings.model_folder == ROOT / "images" / "demo" / "model"


@pytest.mark.parametrize(
    ("name", "value", "attribute", "expected"),
    [
        ("PORT", "9000", "port", 9000),
        ("TAG", "openai-clip-vit-base-patch16", "model_folder", ROOT / "models" / "openai-clip-vit-base-patch16"),
        ("TAG", "openai/clip-vit-base-patch16", "model_folder", ROOT / "models" / "openai-clip-vit-base-patch16"),
        ("MODEL_DIR", "/model", "model_folder", Path("/model")),
        ("URL_PREFIX", "clip/", "url_prefix", "/clip"),
        ("URL_PREFIX", "/", "url_prefix", ""),
        ("CACHE_DIR", "none", "cache_dir", None),
        ("CACHE_DIR", "~/x", "cache_dir", Path("~/x").expanduser()),
        ("ENABLE_CUDA", "1", "enable_cuda", True),
        ("NORMALISE", "false", "normalise", False),
        # Make and Compose pass on variables that are empty.
        ("PORT", "", "port", 8080),
    ],
)
def test_the_environment_sets(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, attribute: str, expected: object
) -> None:
    monkeypatch.setenv(name, value)
    assert getattr(Settings(), attribute) == expected


@pytest.mark.parametrize(("name", "value"), [("PORT", "http"), ("MAX_ITEMS", "0"), ("PRECISION", "int8")])
def test_a_wrong_value_names_the_setting(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


def test_the_readme_has_the_table() -> None:
    readme = (ROOT / "README.md").read_text()
    shown = re.search(r"<!-- settings -->\n(.*?)\n<!-- /settings -->", readme, re.DOTALL)
    assert shown, "README.md has no <!-- settings --> block"
    assert shown[1].strip() == table(), "write the output of `python -m multi2vec.serve.settings` into README.md"
