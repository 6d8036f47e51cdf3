"""Images at work: hardened, without configuration, started, checked, ended."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import pytest

from multi2vec.manifest import Manifest
from tests import pictures, toy
from tests.conftest import Figure
from tests.container.container import HARDENED, Container, docker, inspect, running
from tests.container.images import DEMO, RANDOM

# As `ready` demands at least; bf16 of a CPU costs something.
SMALLEST_COSINE = 0.999
# How long a start may take, as a multiple of what OpenVINO needs for the towers alone: here it was 1.7 to 3.3.
STARTS = 4.0
COMPILE = """
import pathlib
import openvino as ov

for file in pathlib.Path("/model").glob("*.xml"):
    ov.Core().compile_model(str(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
"""


def cosine(one: list[float], other: tuple[float, ...]) -> float:
    """Of two vectors (D,)."""
    a, b = np.array(one), np.array(other)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


class TestHardened:
    def test_vectors_are_the_original_library_s(self, container: Container, manifest: Manifest, figure: Figure) -> None:
        texts = [each for each in manifest.examples if each.modality == "text"]
        images = [each for each in manifest.examples if each.modality == "image"]
        answer = container.post(texts=[each.content for each in texts], images=[each.content for each in images])
        body = answer.raise_for_status().json()
        cosines = [
            cosine(vector, example.vector)
            for vectors, examples in ((body["textVectors"], texts), (body["imageVectors"], images))
            for vector, example in zip(vectors, examples, strict=True)
        ]
        assert len(cosines) == len(manifest.examples) > 3
        assert min(cosines) >= SMALLEST_COSINE
        figure(f"{manifest.tag}: smallest cosine of the examples {min(cosines):.6f}")

    def test_the_process_has_no_rights(self, container: Container) -> None:
        status = dict(line.split(":\t", 1) for line in container.run("cat", "/proc/1/status").splitlines())
        assert status["Uid"].split() == ["10001"] * 4
        assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
        assert status["NoNewPrivs"] == "1"
        host = inspect(container.name)["HostConfig"]
        assert host["ReadonlyRootfs"] is True

    def test_it_lives_with_the_memory_it_is_given(self, manifest: Manifest, figure: Figure) -> None:
        limit = {"demo": "--memory=320m", "random": "--memory=1g"}[manifest.tag]
        image = {"demo": DEMO, "random": RANDOM}[manifest.tag]
        texts = [f"{number} cats" for number in range(32)]
        images = [toy.b64(pictures.encode(pictures.noise((640, 640), seed), "JPEG")) for seed in range(32)]
        with running(image, (*HARDENED[:-1], limit)) as container:
            for _ in range(5):
                assert container.post(texts=texts, images=images).status_code == 200
            used = docker("stats", "--no-stream", "--format={{.MemUsage}}", container.name)
            assert not container.state()["OOMKilled"]
        figure(f"{manifest.tag}: {used} after 160 texts and 160 pictures")

    def test_too_little_memory_ends_it_as_out_of_memory(self) -> None:
        with running(RANDOM, (*HARDENED[:-1], "--memory=64m"), wait=False) as container:
            assert container.exit_status() == 137
            assert container.state()["OOMKilled"]

    def test_a_wrong_setting_is_one_line(self) -> None:
        with running(DEMO, wait=False, TEXT_BATCH="many") as container:
            assert container.exit_status() == 2
            assert container.logs().startswith("TEXT_BATCH: ")


class TestWithoutConfiguration:
    def test_as_weaviate_s_chart_runs_it(self) -> None:
        # Nothing but ENABLE_CUDA, in a network of its own: it listens on all addresses there.
        name = docker("run", "--detach", "--network=none", "--env=ENABLE_CUDA=0", DEMO)
        try:
            deadline = time.monotonic() + 30
            while "is ready" not in docker("logs", name):
                assert time.monotonic() < deadline
                time.sleep(0.1)
            assert docker("exec", name, "python", "-m", "multi2vec", "health") == "ready"
            listening = docker("exec", name, "cat", "/proc/net/tcp").split()
            assert "00000000:1F90" in listening
        finally:
            docker("rm", "--force", name)

    def test_another_command_from_another_folder(self) -> None:
        # It fails unless the model folder is whole and its vectors are the original library's.
        docker("run", "--rm", "--network=none", "--workdir=/tmp", DEMO, "check")

    @pytest.mark.parametrize("user", ["12345:0", "10001:10001", "0:0"])
    def test_any_user_can_run_it(self, user: str) -> None:
        with running(DEMO, ("--user", user)) as container:
            assert container.post(texts=["a red star"]).status_code == 200


def seconds_to_compile(image: str) -> float:
    """From asking for a container until its Python has compiled the towers and nothing else."""
    began = time.monotonic()
    docker("run", "--rm", *HARDENED, "--network=none", "--entrypoint=python", image, "-c", COMPILE)
    return time.monotonic() - began


class TestStart:
    def test_start_to_ready(self, image: str, figure: Figure) -> None:
        seconds, alone = [], []
        for _ in range(5):
            alone.append(seconds_to_compile(image))
            with running(image, wait=False) as container:
                seconds.append(container.wait_ready())
        shown = ", ".join(f"{each:.2f}" for each in seconds)
        figure(f"{image}: start to ready {min(seconds):.2f} s (of {shown}), compiling alone {min(alone):.2f} s")
        # Other load on the machine only adds time, so the shortest are compared.
        assert min(seconds) <= STARTS * min(alone)
        assert max(seconds) <= inspect(image, "image")["Config"]["Healthcheck"]["StartPeriod"] / 1e9

    def test_a_volume_keeps_the_compiled_model(self, figure: Figure) -> None:
        volume = docker("volume", "create")
        try:
            seconds = []
            for _ in range(3):
                cached = (*HARDENED, f"--volume={volume}:/cache")
                with running(RANDOM, cached, wait=False, CACHE_DIR="/cache") as container:
                    seconds.append(container.wait_ready())
                    kept = container.run("find", "/cache", "-name", "*.blob", "-user", "10001").splitlines()
            assert len(kept) == 2
            figure(f"{RANDOM} with a cache: start to ready {', '.join(f'{each:.2f}' for each in seconds)} s")
        finally:
            docker("volume", "rm", volume)


class TestHealth:
    def test_it_follows_the_server(self) -> None:
        with running(
            DEMO, (*HARDENED, "--health-interval=1s", "--health-timeout=1s", "--health-retries=2")
        ) as container:
            assert container.health("healthy") == "healthy"
            docker("kill", "--signal=STOP", container.name)
            assert container.health("unhealthy") == "unhealthy"
            docker("kill", "--signal=CONT", container.name)
            assert container.health("healthy") == "healthy"


class TestEnd:
    def test_sigterm_finishes_what_is_in_flight(self) -> None:
        large = [toy.b64(pictures.encode(pictures.noise((3000, 2000), seed), "JPEG")) for seed in range(20)]
        answers: list[httpx.Response] = []
        with running(DEMO) as container:
            thread = threading.Thread(target=lambda: answers.append(container.post(images=large)))
            thread.start()
            while 'multi2vec_admitted_items{modality="image"} 20.0' not in container.metrics():
                assert answers == []
            assert container.stop() == 0
            thread.join()
            assert len(answers[0].json()["imageVectors"]) == 20
            assert "Traceback" not in container.logs()

    @pytest.mark.parametrize("delay", [0.0, 0.3, 0.6, 0.9])
    def test_sigterm_while_it_starts(self, delay: float) -> None:
        # Process 1 is not ended by a signal that it has no handler for, so the handler is waited for first.
        with running(RANDOM, wait=False) as container:
            while not listens(container.state()["Pid"], signal.SIGTERM):
                time.sleep(0.01)
            time.sleep(delay)
            assert container.stop() == 0, container.logs()


def listens(pid: int, number: signal.Signals) -> bool:
    """Whether a process of this machine has a handler for a signal."""
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return bool(int(status["SigCgt"], 16) >> (number - 1) & 1)
