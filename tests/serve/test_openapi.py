"""The description of the APIs: its page needs no internet, its examples are answered, and no request made from it is
answered with a fault of the server's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings

from multi2vec.serve import openapi
from multi2vec.serve.dialects import DIALECTS
from multi2vec.serve.metrics import Metrics
from multi2vec.serve.routes import Routes
from multi2vec.serve.service import Service
from multi2vec.serve.settings import Settings
from tests.server import DEMO, Server, serving


class Addresses(HTMLParser):
    """All addresses that a page loads."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)
        self.found += re.findall(r"""url: '([^']+)'""", page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in ("src", "href") and value]


@pytest.fixture(scope="module")
def prefixed() -> Iterator[Server]:
    """The demo model, behind a prefix as well."""
    with serving(URL_PREFIX="/some/prefix") as running:
        yield running


def get(url: str) -> httpx.Response:
    return httpx.get(url, trust_env=False, timeout=30)


def test_the_page_loads_nothing_from_elsewhere(prefixed: Server) -> None:
    for root in (prefixed.url, prefixed.url.removesuffix("/some/prefix")):
        page = get(f"{root}/docs")
        assert page.status_code == 200
        addresses = Addresses(page.text).found
        assert len(addresses) == 4
        for address in addresses:
            assert not re.match(r"\w+:|/", address), address
            answer = get(urljoin(f"{root}/docs", address))
            assert answer.status_code == 200, address
            assert len(answer.content) > 1000
        assert "application/json" in get(f"{root}/openapi.json").headers["content-type"]


def routes() -> Routes:
    return Routes(Service(Settings(model_dir=DEMO, cache_dir=None), Metrics()), DIALECTS)


def examples() -> list[Any]:
    """Every example of every body, as a test's parameters."""
    found = []
    for path, place in routes().places.items():
        for dialect, post in place.posts:
            assert post.examples, f"{dialect.name} has no example for {path}"
            for name, body in post.examples.items():
                found.append(pytest.param(path, body, id=f"{dialect.name} {path} {name}"))
    return found


@pytest.mark.parametrize(("path", "body"), examples())
def test_an_example_is_answered(prefixed: Server, path: str, body: Any, request: pytest.FixtureRequest) -> None:
    answer = httpx.post(prefixed.url + path, json=body, timeout=30, trust_env=False)
    needs = "needs" in request.node.name
    assert answer.status_code in ((400, 424) if needs else (200,)), answer.text


def operations() -> list[Any]:
    """Every operation of the description, as a test's parameters."""
    described = schemathesis.openapi.from_dict(openapi.schema(routes()))
    found = [each.ok() for each in described.get_all_operations()]
    return [pytest.param(each, id=f"{each.method} {each.path}") for each in found]


@pytest.mark.parametrize("operation", operations())
def test_no_request_is_answered_with_a_fault(operation: Any, prefixed: Server) -> None:
    @given(case=operation.as_strategy())
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
    def ask(case: Any) -> None:
        answer = case.call(base_url=prefixed.url)
        assert answer.status_code < 500, answer.text

    ask()
