"""Pictures by URL, from a real server on loopback: what is allowed, and what a URL cannot do."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from multi2vec.engine.errors import BadInput, ClientError, TooLarge
from multi2vec.serve import fetching
from multi2vec.serve.errors import BadRequest
from multi2vec.serve.fetching import Fetcher, Link, Rules
from tests import toy
from tests.serve.picture_site import ADDRESS, NETWORKS, OTHER, PNG, Pictures, running_site
from tests.server import Server, serving


@pytest.fixture
def pictures() -> Iterator[str]:
    with running_site() as address:
        yield address


@pytest.fixture
def fetch(pictures: str) -> Callable[..., bytes]:
    """Fetches a URL within rules that allow that server, or those given."""

    def fetched(url: str, **rules: Any) -> bytes:
        chosen = Rules(
            hosts=(pictures, f"cat.test:{pictures.partition(':')[2]}"), networks=NETWORKS, size=4000, seconds=2
        )

        async def main() -> bytes:
            fetcher = Fetcher(dataclasses.replace(chosen, **rules))
            try:
                return await fetcher.fetch(Link(url))
            finally:
                await fetcher.close()

        return asyncio.run(main())

    return fetched


class TestFiles:
    def test_a_picture(self, pictures: str, fetch: Callable[..., bytes]) -> None:
        assert fetch(f"http://{pictures}/cat?size=1") == PNG
        ((path, headers),) = Pictures.asked
        assert path == "/cat?size=1"
        assert headers["host"] == pictures
        assert "cookie" not in headers
        assert "authorization" not in headers

    def test_redirects_are_followed(self, pictures: str, fetch: Callable[..., bytes]) -> None:
        assert fetch(f"http://{pictures}/to/_cat") == PNG
        assert fetch(f"http://{pictures}/to/http:__{pictures}_cat") == PNG

    def test_a_server_that_lies_about_its_length(self, pictures: str, fetch: Callable[..., bytes]) -> None:
        with pytest.raises(BadInput, match="cannot be fetched: it broke off"):
            fetch(f"http://{pictures}/short")

    @pytest.mark.parametrize("name", ["large", "endless"])
    def test_too_large_a_file(self, pictures: str, fetch: Callable[..., bytes], name: str) -> None:
        with pytest.raises(TooLarge, match=r"more than 4000.*\(MAX_PICTURE_BYTES\)"):
            fetch(f"http://{pictures}/{name}")

    def test_too_much_together(self, pictures: str) -> None:
        async def main() -> None:
            fetcher = Fetcher(Rules(hosts=(pictures,), networks=NETWORKS, together=2 * len(PNG)))
            links = [Link(f"http://{pictures}/cat?{number}") for number in range(3)]
            assert set((await fetcher.fetch_all(links[:2])).values()) == {PNG}
            with pytest.raises(TooLarge, match="MAX_BODY_BYTES"):
                await fetcher.fetch_all(links)
            await fetcher.close()

        asyncio.run(main())

    def test_one_that_takes_too_long(self, pictures: str, fetch: Callable[..., bytes]) -> None:
        """All of it counts, however often a byte arrives."""
        started = time.monotonic()
        with pytest.raises(BadInput, match=r"longer than 0\.5 s"):
            fetch(f"http://{pictures}/slow", seconds=0.5)
        assert time.monotonic() - started < 3

    def test_what_is_not_there(self, pictures: str, fetch: Callable[..., bytes]) -> None:
        with pytest.raises(BadInput, match="it answered 404") as caught:
            fetch(f"http://{pictures}/nothing")
        assert "secret" not in str(caught.value)
        with socket.socket() as closed:
            closed.bind((ADDRESS, 0))
            nobody = f"{ADDRESS}:{closed.getsockname()[1]}"
            with pytest.raises(BadInput, match="cannot be reached"):
                fetch(f"http://{nobody}/cat", hosts=(nobody,))


class TestWhatIsNotAllowed:
    def test_nothing_is_without_hosts(self, pictures: str, fetch: Callable[..., bytes]) -> None:
        with pytest.raises(BadRequest, match=r"not fetched from URLs here.*\(FETCH_HOSTS\)"):
            fetch(f"http://{pictures}/cat", hosts=())
        assert Pictures.asked == []

    @pytest.mark.parametrize(
        "url",
        [
            "http://example.org/cat.png",
            "http://{0}.example.org/cat",
            "http://{0}@example.org/cat",
            "http://example.org@{0}/cat",
            "http://user:word@{0}/cat",
            "ftp://{0}/cat",
            "file:///etc/passwd",
            "http:///cat",
            "http://{0}/a cat",
            "http://{0}/cat\r\nx: y",
            "http://[::1/cat",
            "http://127.0.0.2:99999/cat",
            "http://127.0.0.2:1/cat",
            "http://127.0.0.2/cat",
            "gopher://{0}",
        ],
    )
    def test_urls(self, pictures: str, fetch: Callable[..., bytes], url: str) -> None:
        with pytest.raises(BadRequest):
            fetch(url.format(pictures))
        assert Pictures.asked == []

    def test_an_address_that_is_not_public(self, pictures: str, fetch: Callable[..., bytes]) -> None:
        with pytest.raises(BadRequest, match=r"not public.*\(FETCH_NETWORKS\)"):
            fetch(f"http://{pictures}/cat", networks=())
        assert Pictures.asked == []

    @pytest.mark.parametrize(
        "host", ["localhost", OTHER, "0.0.0.0", "[::1]", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"]
    )
    def test_a_redirect_to_loopback(self, pictures: str, fetch: Callable[..., bytes], host: str) -> None:
        """Not even where every host is allowed."""
        port = pictures.partition(":")[2]
        with pytest.raises(ClientError, match=r"not public|no such host|http://host/path"):
            fetch(f"http://{pictures}/to/http:__{host}:{port}_cat", hosts=(f"*:{port}",))
        assert [path for path, _ in Pictures.asked] == [f"/to/http:__{host}:{port}_cat"]

    def test_a_redirect_to_a_host_that_is_not_allowed(self, pictures: str, fetch: Callable[..., bytes]) -> None:
        with pytest.raises(BadRequest, match=r"not fetched from example\.org"):
            fetch(f"http://{pictures}/to/http:__example.org_cat")
        with pytest.raises(BadRequest, match="http://host/path"):
            fetch(f"http://{pictures}/to/file:____etc_passwd")

    def test_redirects_without_end(self, pictures: str, fetch: Callable[..., bytes]) -> None:
        with pytest.raises(BadInput, match="redirected more than 3 times"):
            fetch(f"http://{pictures}/loop")
        assert len(Pictures.asked) == 4

    def test_a_name_that_changes_its_address(
        self, pictures: str, fetch: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is looked up once for each connection, and what was looked up is what is connected to."""
        port = int(pictures.partition(":")[2])
        addresses = iter([ADDRESS, OTHER])
        looked_up = []

        async def lookup(self: Any, host: str, port: int, **rest: Any) -> list[Any]:
            if host[0].isdecimal():
                return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))]
            looked_up.append(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(addresses), port))]

        monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", lookup)
        assert fetch(f"http://cat.test:{port}/cat") == PNG
        assert looked_up == ["cat.test"]
        with pytest.raises(BadRequest, match=r"cat\.test has an address that is not public"):
            fetch(f"http://cat.test:{port}/cat")

    def test_a_name_with_one_address_that_is_not_allowed(
        self, pictures: str, fetch: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def lookup(self: Any, host: str, port: int, **rest: Any) -> list[Any]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in (ADDRESS, OTHER)]

        monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", lookup)
        with pytest.raises(BadRequest, match="not public"):
            fetch(f"http://cat.test:{pictures.partition(':')[2]}/cat")

    def test_proxies_of_the_environment_are_not_asked(
        self, pictures: str, fetch: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        assert fetch(f"http://{pictures}/cat") == PNG


@pytest.mark.parametrize(
    ("address", "is_allowed"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("127.0.0.1", False),
        (ADDRESS, True),
        ("10.0.0.1", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("ff02::1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:127.0.0.2", True),
        ("2002:7f00:1::", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::5db8:d822", True),
    ],
)
def test_addresses(address: str, is_allowed: bool) -> None:
    assert fetching.is_allowed(address, NETWORKS) is is_allowed


@pytest.mark.parametrize(
    ("allowed", "url", "is_allowed"),
    [
        ("example.org", "http://example.org/a", True),
        ("example.org", "https://EXAMPLE.org./a", True),
        ("example.org", "https://example.org:443/a", True),
        ("example.org", "http://example.org:8080/a", False),
        ("example.org", "http://www.example.org/a", False),
        ("example.org", "http://badexample.org/a", False),
        ("*.example.org", "http://www.example.org/a", True),
        ("*.example.org", "http://example.org/a", False),
        ("*.example.org", "http://badexample.org/a", False),
        ("example.org:9000", "http://example.org:9000/a", True),
        ("example.org:9000", "http://example.org/a", False),
        ("*", "http://anything.example/a", True),
        ("*", "http://anything.example:8080/a", False),
        ("*:8080", "http://anything.example:8080/a", True),
    ],
)
def test_hosts(allowed: str, url: str, is_allowed: bool) -> None:
    if is_allowed:
        assert fetching.check(Link(url), Rules(hosts=(allowed,))).path == "/a"
    else:
        with pytest.raises(BadRequest):
            fetching.check(Link(url), Rules(hosts=(allowed,)))


class TestServed:
    @pytest.fixture
    def fetching_server(self, pictures: str, toy_folder: Any) -> Iterator[Server]:
        settings = {"FETCH_HOSTS": f"{pictures}, example.org", "FETCH_NETWORKS": f"{ADDRESS}/32", "FETCH_SECONDS": 2}
        with serving(toy_folder, PRECISION="f32", **settings) as running:
            yield running

    def ask(self, server: Server, *inputs: Any) -> httpx.Response:
        return httpx.post(server.url + "/v1/embeddings", json={"input": list(inputs)}, timeout=30, trust_env=False)

    def test_pictures_by_url(self, pictures: str, fetching_server: Server) -> None:
        url = f"http://{pictures}/cat"
        answer = self.ask(fetching_server, {"image": url}, "sun", {"type": "image_url", "image_url": {"url": url}})
        assert answer.status_code == 200, answer.text
        found = [each["embedding"] for each in answer.json()["data"]]
        expected = toy.picture_vector(toy.picture(1))
        np.testing.assert_allclose(found, [expected, toy.text_vector("sun"), expected], atol=1e-5)
        # The same picture is fetched once.
        assert len(Pictures.asked) == 1

    def test_refusals_are_the_api_s_errors(self, pictures: str, fetching_server: Server, server: Server) -> None:
        for running, url, word in (
            (fetching_server, f"http://{pictures}/to/http:__{OTHER}:{fetching_server.port}_meta", "not fetched from"),
            (fetching_server, f"http://{pictures}/nothing", "it answered 404"),
            (server, f"http://{pictures}/cat", "FETCH_HOSTS"),
        ):
            answer = self.ask(running, {"image": url})
            assert answer.status_code == 400, answer.text
            assert word in answer.json()["error"]["message"]
