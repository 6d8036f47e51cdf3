"""Serving and the library have no torch: stated by the import contracts, and looked for in a fresh interpreter."""

import subprocess
import sys

BUILD_TIME = ("torch", "torchvision", "transformers", "open_clip", "sentence_transformers", "timm", "multi2vec.convert")


def test_the_server_imports_nothing_that_builds_models() -> None:
    code = (
        "import sys, pkgutil, importlib, multi2vec.serve as serve\n"
        "for module in pkgutil.walk_packages(serve.__path__, 'multi2vec.serve.'):\n"
        "    importlib.import_module(module.name)\n"
        "print(*sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "multi2vec.serve.dialects.weaviate.clip" in out
    assert not [name for name in out if name in BUILD_TIME or name.startswith("multi2vec.convert")]


def test_openvino_does_not_report_its_use() -> None:
    code = (
        "import sys, multi2vec.engine.encoder\n"
        "print(*(name for name in sys.modules if name.startswith('openvino_telemetry') and sys.modules[name]), 'end')"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["end"]


def test_nor_does_it_in_the_tests_themselves() -> None:
    assert sys.modules["openvino_telemetry"] is None
