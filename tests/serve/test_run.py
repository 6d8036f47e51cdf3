"""The life of the process: it starts, refuses what is too much, drops what clients gave up, and ends."""

import asyncio
import json
import re
import signal
import socket
import threading
import time
from pathlib import Path

import httpx
import pytest

from multi2vec import manifest as manifests
from tests import pictures, toy
from tests.server import Server, launched, serving

# Each takes the server a few hundredths of a second.
LARGE = [toy.b64(pictures.encode(pictures.noise((3000, 2000), seed), "JPEG")) for seed in range(20)]


class TestStart:
    def test_a_damaged_folder_is_refused_with_one_sentence(self, tmp_path: Path) -> None:
        folder = toy.write(tmp_path)
        (folder / "image.bin").write_bytes(b"x" * 12288)
        with launched(folder) as server:
            status, log = server.ended()
        assert status == 1
        assert "image.bin does not have the checksum" in log
        assert "Traceback" not in log

    def test_a_missing_folder(self, tmp_path: Path) -> None:
        with launched(tmp_path / "nothing") as server:
            status, log = server.ended()
        assert status == 1
        assert "is not a model folder" in log
        assert "Traceback" not in log

    def test_wrong_vectors_are_found_before_anybody_gets_them(self, tmp_path: Path) -> None:
        folder = toy.write(tmp_path)
        data = json.loads((folder / manifests.FILE_NAME).read_text())
        data["examples"][1]["vector"] = data["examples"][1]["vector"][::-1]
        (folder / manifests.FILE_NAME).write_text(json.dumps(data))
        with launched(folder) as server:
            status, log = server.ended()
        assert status == 1
        assert "an example picture gives a vector at cosine" in log

    def test_an_absent_device_lists_those_there(self, toy_folder: Path) -> None:
        with launched(toy_folder, DEVICE="GPU.3") as server:
            status, log = server.ended()
        assert status == 1
        assert re.search(r"DEVICE=GPU\.3 is not there; this machine has .*CPU", log)
        assert "Traceback" not in log

    def test_a_wrong_setting(self, toy_folder: Path) -> None:
        with launched(toy_folder, MAX_ITEMS="many") as server:
            status, log = server.ended()
        assert status == 2
        assert log.startswith("MAX_ITEMS: ")

    def test_a_port_in_use(self, toy_folder: Path, server: Server) -> None:
        with launched(toy_folder, PORT=server.port) as server:
            status, log = server.ended()
        assert status != 0
        assert "address already in use" in log

    def test_cuda_on_an_image_without_it_warns_and_serves(self, toy_folder: Path) -> None:
        with serving(toy_folder, ENABLE_CUDA=1) as server:
            assert server.post(texts=["cat"]).status_code == 200
            server.stop()
            assert server.log().count("ENABLE_CUDA") == 1

    def test_json_logs_carry_the_request_id(self, toy_folder: Path) -> None:
        with serving(toy_folder, LOG_FORMAT="json", ACCESS_LOG=1) as server:
            httpx.get(server.url + "/meta", headers={"x-request-id": "find-me"})
            server.stop()
            lines = [json.loads(line) for line in server.log().splitlines()]
        assert any(line["request_id"] == "find-me" and "GET /meta 200" in line["message"] for line in lines)


class TestLife:
    def test_it_listens_before_the_model_is_there(self, tmp_path: Path) -> None:
        folder = toy.write(tmp_path)
        # A large file to check keeps it loading for long enough to be seen.
        ballast = folder / "ballast.bin"
        with ballast.open("wb") as file:
            file.truncate(1_500_000_000)
        data = json.loads((folder / manifests.FILE_NAME).read_text())
        data["files"]["ballast.bin"] = "0"
        (folder / manifests.FILE_NAME).write_text(json.dumps(data))
        with launched(folder) as server:
            server.wait("/.well-known/live")
            assert server.get("/.well-known/ready").json() == {"error": "the model is loading"}
            assert server.meta()["execution"]["state"] == "loading"  # type: ignore[index]
            # Weaviate never asks twice, so an early request waits; here until it turns out that loading failed.
            answer = server.post(texts=["cat"])
            assert answer.status_code == 503
            assert "ballast.bin" in answer.json()["error"]
            assert answer.headers["retry-after"] == "1"
            status, log = server.ended()
        assert status == 1
        assert "ballast.bin" in log

    def test_a_request_that_comes_early_is_answered_late(self, toy_folder: Path) -> None:
        with launched(toy_folder) as server:
            server.wait("/.well-known/live")
            assert server.post(texts=["cat"]).status_code == 200

    def test_meta_and_live_answer_under_load(self, toy_folder: Path) -> None:
        with serving(toy_folder) as server:
            stop = threading.Event()
            body = {"images": [LARGE[0]]}

            def load() -> None:
                with httpx.Client(timeout=60) as client:
                    while not stop.is_set():
                        client.post(server.url + "/vectorize", json=body)

            threads = [threading.Thread(target=load) for _ in range(8)]
            for thread in threads:
                thread.start()
            try:
                for _ in range(20):
                    assert server.get("/.well-known/live").status_code == 204
                    assert server.get("/meta").status_code == 200
            finally:
                stop.set()
                for thread in threads:
                    thread.join()

    def test_a_full_queue_is_a_503_that_says_when_to_come_back(self, toy_folder: Path) -> None:
        with serving(toy_folder, MAX_QUEUE=2, THREADS=1) as server:

            async def main() -> list[httpx.Response]:
                async with httpx.AsyncClient(timeout=60) as client:
                    posts = [client.post(server.url + "/vectorize", json={"images": [LARGE[0]]}) for _ in range(8)]
                    return await asyncio.gather(*posts)

            answers = asyncio.run(main())
            refused = [answer for answer in answers if answer.status_code == 503]
            assert refused
            assert len(refused) < 8
            for answer in refused:
                assert "MAX_QUEUE" in answer.json()["error"]
                assert int(answer.headers["retry-after"]) >= 1
            counted = f'multi2vec_refused_total{{limit="MAX_QUEUE",reason="overloaded"}} {len(refused)}.0'
            assert counted in server.get("/metrics").text
            assert server.log().count("503 overloaded") == len(refused)
            assert server.post(images=LARGE[:1]).status_code == 200

    def test_a_client_that_hangs_up_frees_its_items(self, toy_folder: Path) -> None:
        with serving(toy_folder, THREADS=1) as server:
            body = json.dumps({"images": LARGE}).encode()
            with socket.create_connection(("127.0.0.1", server.port)) as connection:
                connection.sendall(
                    b"POST /vectorize HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
                )
                admitted = 'multi2vec_admitted_items{modality="image"} '
                wait_for(server, admitted + "20.0")
            wait_for(server, admitted + "0.0")
            done = re.search(r'multi2vec_batch_items_sum\{modality="image"\} (\d+)', server.get("/metrics").text)
            assert done
            assert int(done[1]) < 20
            assert server.post(texts=["cat"]).status_code == 200


def wait_for(server: Server, line: str) -> None:
    """Until the metrics have that line."""
    for _ in range(400):
        if line in server.get("/metrics").text:
            return
        time.sleep(0.02)
    raise TimeoutError(line)


class TestEnd:
    def test_a_signal_that_comes_while_it_starts_ends_it(self, toy_folder: Path) -> None:
        # At whatever moment: during imports, before it listens, while the model loads.
        for delay in (0.2, 0.4, 0.6, 0.8, 1.0):
            with launched(toy_folder) as server:
                time.sleep(delay)
                server.process.send_signal(signal.SIGTERM)
                assert server.process.wait(10) == 0, server.log()

    def test_kept_connections_are_answered_while_it_drains(self, toy_folder: Path) -> None:
        with serving(toy_folder, DRAIN_SECONDS=3) as server, httpx.Client() as kept:
            kept.get(server.url + "/meta")
            server.process.send_signal(signal.SIGTERM)
            time.sleep(1)
            answer = kept.post(server.url + "/vectorize", json={"texts": ["cat"]})
            assert answer.status_code == 200
            assert answer.headers["connection"] == "close"
            assert server.process.wait(10) == 0

    def test_an_idle_server_ends_at_once_with_status_0(self, toy_folder: Path) -> None:
        for name in (signal.SIGTERM, signal.SIGINT):
            with serving(toy_folder) as server:
                server.process.send_signal(name)
                assert server.process.wait(5) == 0

    def test_sigterm_under_load_loses_no_accepted_request(self, toy_folder: Path) -> None:
        picture = toy.b64(pictures.encode(pictures.noise((400, 400)), "JPEG"))
        body = json.dumps({"images": [picture], "texts": ["red cat"]}).encode()
        request = b"POST /vectorize HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        answered: list[int] = []
        lost: list[bytes] = []

        def client(port: int) -> None:
            """One request after the other on one connection, until the server says that it closes."""
            with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
                answers = connection.makefile("rb")
                headers: dict[bytes, bytes] = {}
                while headers.get(b"connection") != b"close":
                    connection.sendall(request)
                    if not (line := answers.readline()).startswith(b"HTTP/1.1 200"):
                        lost.append(line)
                        return
                    headers = read_headers(answers)
                    assert len(answers.read(int(headers[b"content-length"]))) > 100
                    answered.append(1)

        with serving(toy_folder) as server:
            threads = [threading.Thread(target=client, args=[server.port]) for _ in range(16)]
            for thread in threads:
                thread.start()
            while len(answered) < 200:
                time.sleep(0.01)
            server.process.send_signal(signal.SIGTERM)
            for thread in threads:
                thread.join(30)
            assert server.process.wait(30) == 0
        assert lost == []

    def test_not_ready_at_once_and_what_is_in_flight_is_finished(self, toy_folder: Path) -> None:
        with serving(toy_folder, THREADS=1) as server:
            answers: list[httpx.Response] = []
            thread = threading.Thread(target=lambda: answers.append(server.post(images=LARGE)))
            thread.start()
            wait_for(server, 'multi2vec_admitted_items{modality="image"} 20.0')
            with httpx.Client() as kept:
                assert kept.get(server.url + "/.well-known/ready").status_code == 204
                server.process.send_signal(signal.SIGTERM)
                time.sleep(0.1)
                answer = kept.get(server.url + "/.well-known/ready")
            assert (answer.status_code, answer.json()) == (503, {"error": "the server is shutting down"})
            assert answer.headers["connection"] == "close"
            thread.join(60)
            assert len(answers[0].json()["imageVectors"]) == 20
            assert server.process.wait(30) == 0

    def test_the_grace_is_bounded(self, toy_folder: Path) -> None:
        with serving(toy_folder, SHUTDOWN_GRACE=1) as server:
            port = server.port
            with socket.create_connection(("127.0.0.1", port)) as stuck:
                stuck.sendall(b"POST /vectorize HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
                time.sleep(0.2)
                started = time.monotonic()
                server.process.send_signal(signal.SIGTERM)
                assert server.process.wait(20) == 0
                assert time.monotonic() - started < 10


def read_headers(answers: object) -> dict[bytes, bytes]:
    """Header names (lower case) and values of a response whose first line was read."""
    headers = {}
    while (line := answers.readline()) not in (b"\r\n", b""):  # type: ignore[attr-defined]
        name, _, value = line.partition(b":")
        headers[name.lower()] = value.strip()
    return headers


@pytest.mark.parametrize("clients", [24])
def test_mixed_load_with_bad_pictures_in_between(server: Server, clients: int) -> None:
    good = {seed: toy.b64(toy.png(toy.picture(seed))) for seed in range(clients)}
    broken = [toy.b64(data) for name, data in pictures.broken().items() if name != "bomb"]

    async def one(client: httpx.AsyncClient, seed: int) -> None:
        for turn in range(6):
            if (seed + turn) % 3 == 0:
                bad = await client.post(
                    server.url + "/vectorize", json={"images": [broken[(seed + turn) % len(broken)]]}
                )
                assert bad.status_code == 422
            text = f"red {toy.WORDS[4 + seed % 10]} sun"
            answer = await client.post(server.url + "/vectorize", json={"texts": [text], "images": [good[seed]]})
            assert answer.status_code == 200
            check_close(answer.json()["textVectors"][0], toy.text_vector(text))
            check_close(answer.json()["imageVectors"][0], toy.picture_vector(toy.picture(seed)))

    async def main() -> None:
        async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=clients)) as client:
            await asyncio.gather(*(one(client, seed) for seed in range(clients)))

    asyncio.run(main())


def check_close(got: list[float], expected: object) -> None:
    """Each number within 1e-5."""
    assert max(abs(a - b) for a, b in zip(got, expected, strict=True)) < 1e-5  # type: ignore[call-overload]
