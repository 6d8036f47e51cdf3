from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from multi2vec.decoding import DecodeError, decode


@dataclass(frozen=True)
class Part:
    name: str
    size: int | None = None


@dataclass(frozen=True)
class Whole:
    title: str
    ratio: float = 1.0
    on: bool = False
    kind: Literal["a", "b"] = "a"
    parts: tuple[Part, ...] = ()
    named: Mapping[str, str | Part] = field(default_factory=dict)
    rest: Any = None


def test_every_kind_of_value() -> None:
    data = {
        "title": "x",
        "ratio": 2,
        "on": True,
        "kind": "b",
        "parts": [{"name": "p"}, {"name": "q", "size": 3}],
        "named": {"one": "text", "two": {"name": "r"}},
        "rest": [1, {}],
    }
    expected = Whole("x", 2.0, True, "b", (Part("p"), Part("q", 3)), {"one": "text", "two": Part("r")}, [1, {}])
    assert decode(Whole, data, "here") == expected


def test_what_is_not_given_is_the_default_and_what_is_given_is_not_read() -> None:
    assert decode(Whole, {"title": "x"}, "here") == Whole("x")
    assert decode(Whole, {"title": "x", "on": "no"}, "here", on=True) == Whole("x", on=True)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ([], "here is not an object"),
        ({}, "here has no 'title'"),
        ({"title": 3}, "here: title is not a string"),
        ({"title": "x", "on": 1}, "here: on is not true or false"),
        ({"title": "x", "ratio": "2"}, "here: ratio is not a number"),
        ({"title": "x", "kind": "c"}, "here: kind is 'c'; it can be 'a', 'b'"),
        ({"title": "x", "parts": {}}, "here: parts is not a list"),
        ({"title": "x", "parts": [{"name": "p", "size": True}]}, "here: parts[0]: size is not a whole number"),
        ({"title": "x", "named": {"one": {}}}, "here: named.one has no 'name'"),
    ],
)
def test_what_does_not_fit_is_one_sentence(data: Any, sentence: str) -> None:
    with pytest.raises(DecodeError) as error:
        decode(Whole, data, "here")
    assert str(error.value) == sentence


def test_unknown_keys_are_errors_only_where_that_is_asked_for() -> None:
    data = {"title": "x", "colour": 1, "parts": [{"name": "p", "weight": 2}]}
    assert decode(Whole, data, "here").title == "x"
    with pytest.raises(DecodeError, match="here has the unknown key 'colour'; allowed are title, ratio"):
        decode(Whole, data, "here", strict=True)
    del data["colour"]
    with pytest.raises(DecodeError, match=r"here: parts\[0\] has the unknown key 'weight'"):
        decode(Whole, data, "here", strict=True)
    with pytest.raises(DecodeError, match="unknown key 'on'"):
        decode(Whole, {"title": "x", "on": True}, "here", strict=True, on=False)
