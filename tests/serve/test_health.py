"""What a container's health check and an image's build ask."""

import signal
import subprocess
import sys
from pathlib import Path

from tests import toy
from tests.server import ROOT, environment, free_port, serving


def run(command: str, folder: Path, port: int = 0, **settings: object) -> tuple[int, str]:
    """Exit status and output of `multi2vec <command>` with these settings."""
    done = subprocess.run(
        [sys.executable, "-m", "multi2vec", command],
        cwd=ROOT,
        env=environment(folder, port, settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


class TestHealth:
    def test_a_ready_server(self, toy_folder: Path) -> None:
        with serving(toy_folder) as server:
            for host in ("127.0.0.1", "0.0.0.0", ""):
                assert run("health", toy_folder, server.port, HOST=host) == (0, "ready\n")

    def test_one_that_shuts_down(self, toy_folder: Path) -> None:
        with serving(toy_folder, DRAIN_SECONDS=20) as server:
            server.process.send_signal(signal.SIGTERM)
            outputs = []
            while not outputs or not outputs[-1].startswith("no answer"):
                status, output = run("health", toy_folder, server.port)
                outputs.append(output)
                assert status == 1
                assert len(outputs) < 50, outputs

    def test_a_port_where_nothing_listens(self, toy_folder: Path) -> None:
        status, output = run("health", toy_folder, free_port())
        assert status == 1
        assert output.startswith("no answer: ")

    def test_it_imports_next_to_nothing(self) -> None:
        code = "import sys, multi2vec.cli, multi2vec.serve.health; print(*sys.modules)"
        modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        assert not {"numpy", "openvino", "fastapi", "pydantic"} & set(modules.split())


class TestCheck:
    def test_a_good_folder(self, toy_folder: Path) -> None:
        status, output = run("check", toy_folder)
        assert status == 0
        assert "is ready" in output

    def test_a_damaged_one(self, tmp_path: Path) -> None:
        folder = toy.write(tmp_path)
        (folder / "image.bin").write_bytes(b"x" * 12288)
        status, output = run("check", folder)
        assert status == 1
        assert "cannot be served" in output
        assert "image.bin does not have the checksum" in output
        assert "Traceback" not in output

    def test_an_absent_one(self, tmp_path: Path) -> None:
        status, output = run("check", tmp_path / "nothing")
        assert status == 1
        assert "is not a model folder" in output
