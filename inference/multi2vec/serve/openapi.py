"""The description of all APIs in OpenAPI's words, and a page that shows it and tries it, without the internet.

The page is Swagger UI; its files come with a package. Its addresses are relative, so that it works behind any prefix.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import msgspec
from fastapi import APIRouter, Response
from fastapi.openapi.docs import get_swagger_ui_html

from multi2vec import __version__
from multi2vec.serve import answers
from multi2vec.serve.dialect import Dialect, Post
from multi2vec.serve.routes import Place, Routes

PAGE, SCHEMA = "/docs", "/openapi.json"
STATIC = files("fastapi_offline") / "static"
TYPES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon.png": "image/png",
}
JSON = "application/json"
REFERENCE = "#/components/schemas/{name}"

INTRODUCTION = """One model, many APIs: the vectors are the same whichever is asked. Where several APIs share a path,
the body decides whose a request is; its errors have that API's shape."""

ANSWERS: Mapping[str, Any] = {
    "200": {"description": "The answer."},
    "4XX": {"description": "What is wrong with the request, in the API's own shape.", "content": {JSON: {}}},
    "5XX": {"description": "The server cannot answer, in the API's own shape.", "content": {JSON: {}}},
}


def router(routes: Routes) -> APIRouter:
    """`/docs`, its files, and `/openapi.json`."""
    pages = APIRouter()
    described = answers.json(schema(routes))
    page = get_swagger_ui_html(
        openapi_url=SCHEMA.lstrip("/"),
        title="multi2vec-openvino",
        swagger_js_url=f"{PAGE.lstrip('/')}/swagger-ui-bundle.js",
        swagger_css_url=f"{PAGE.lstrip('/')}/swagger-ui.css",
        swagger_favicon_url=f"{PAGE.lstrip('/')}/favicon.png",
    )

    def add(path: str, answer: Response) -> None:
        async def told() -> Response:
            return answer

        pages.add_api_route(path, told, methods=["GET", "HEAD"])

    add(SCHEMA, described)
    add(PAGE, page)
    for name, kind in TYPES.items():
        add(f"{PAGE}/{name}", Response((STATIC / name).read_bytes(), media_type=kind))
    return pages


def schema(routes: Routes) -> dict[str, Any]:
    """An OpenAPI 3.1 document."""
    bodies = [post.body for place in routes.places.values() for _, post in place.posts]
    schemas, components = msgspec.json.schema_components(list(dict.fromkeys(bodies)), ref_template=REFERENCE)
    by_type = dict(zip(dict.fromkeys(bodies), schemas, strict=True))
    return {
        "openapi": "3.1.0",
        "info": {"title": "multi2vec-openvino", "version": __version__, "description": INTRODUCTION},
        # The page's own address, whatever stands in front of it.
        "servers": [{"url": "."}],
        "paths": {path: _operations(place, by_type) for path, place in routes.places.items()},
        "components": {
            "schemas": components,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"key": []}],
    }


def _operations(place: Place, schemas: Mapping[Any, Any]) -> dict[str, Any]:
    operations: dict[str, Any] = {}
    if place.posts:
        operations["post"] = {
            "tags": [dialect.name for dialect, _ in place.posts][:1],
            "summary": "; ".join(f"{dialect.name}: {post.summary}" for dialect, post in place.posts),
            "requestBody": {"required": True, "content": {JSON: _body(place.posts, schemas)}},
            "responses": ANSWERS,
        }
    told = [dialect.name for dialect, _ in [*place.gets, *place.probes]]
    if told:
        codes = {"204": {"description": "Yes."}} if place.probes else {}
        operations["get"] = {"tags": told[:1], "summary": ", ".join(told), "responses": {**ANSWERS, **codes}}
    return operations


def _body(posts: list[tuple[Dialect, Post[Any]]], schemas: Mapping[Any, Any]) -> dict[str, Any]:
    forms = [schemas[post.body] for _, post in posts]
    examples = {
        f"{dialect.name}: {name}": {"value": value} for dialect, post in posts for name, value in post.examples.items()
    }
    return {"schema": forms[0] if len(forms) == 1 else {"anyOf": forms}, "examples": examples}
