"""From parsed JSON or TOML to dataclasses: for manifests and recipes alike. Standard library only."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

Kind = TypeVar("Kind")


class DecodeError(ValueError):
    """The data does not fit; the message is one sentence that says where and why."""


def decode(kind: type[Kind], data: Any, where: str, *, strict: bool = False, **given: Any) -> Kind:
    """`data` as the dataclass `kind`; `where` begins the messages of `DecodeError`.

    Fields may be strings, integers, floats, booleans, literals, tuples, mappings with string keys, unions with None,
    dataclasses, and unions of dataclasses and other kinds. Fields in `given` have their value already and are not the
    data's to say. Unknown keys are ignored, or errors if `strict`.
    """
    decoded: Kind = _Decoder(strict).dataclass(kind, data, where, given)
    return decoded


class _Decoder:
    def __init__(self, strict: bool) -> None:
        self._strict = strict

    def dataclass(self, kind: Any, data: Any, where: str, given: Mapping[str, Any]) -> Any:
        check(isinstance(data, dict), where, "an object")
        hints = typing.get_type_hints(kind)
        fields = [each for each in dataclasses.fields(kind) if each.init and each.name not in given]
        if self._strict:
            self._refuse_unknown(data, [each.name for each in fields], where)
        arguments = dict(given)
        for each in fields:
            if each.name in data:
                arguments[each.name] = self.value(hints[each.name], data[each.name], f"{where}: {each.name}")
            elif each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING:
                raise DecodeError(f"{where} has no {each.name!r}")
        return kind(**arguments)

    def value(self, kind: Any, data: Any, where: str) -> Any:
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if dataclasses.is_dataclass(kind):
            return self.dataclass(kind, data, where, {})
        if origin in (types.UnionType, typing.Union):
            return self._union(arguments, data, where)
        if origin is Literal:
            if data not in arguments:
                raise DecodeError(f"{where} is {data!r}; it can be {', '.join(map(repr, arguments))}")
            return data
        if origin is tuple:
            check(isinstance(data, list), where, "a list")
            return tuple(self.value(arguments[0], item, f"{where}[{index}]") for index, item in enumerate(data))
        if origin is Mapping:
            check(isinstance(data, dict), where, "an object")
            return {key: self.value(arguments[1], item, f"{where}.{key}") for key, item in data.items()}
        return _scalar(kind, data, where)

    def _union(self, kinds: tuple[Any, ...], data: Any, where: str) -> Any:
        """The first kind that takes it; the last one's message when none does."""
        if data is None and type(None) in kinds:
            return None
        *others, last = [kind for kind in kinds if kind is not type(None)]
        for kind in others:
            try:
                return self.value(kind, data, where)
            except DecodeError:
                continue
        return self.value(last, data, where)

    @staticmethod
    def _refuse_unknown(data: Mapping[str, Any], names: list[str], where: str) -> None:
        if unknown := sorted(set(data) - set(names)):
            raise DecodeError(f"{where} has the unknown key {unknown[0]!r}; allowed are {', '.join(names)}")


def _scalar(kind: Any, data: Any, where: str) -> Any:
    if kind is Any:
        return data
    if kind is float and type(data) is int:
        return float(data)
    names = {str: "a string", bool: "true or false", int: "a whole number", float: "a number"}
    # By type(), since True would pass for an int otherwise.
    check(type(data) is kind, where, names.get(kind, kind.__name__))
    return data


def check(condition: bool, where: str, what: str) -> None:
    """Raise `DecodeError` ("`where` is not `what`") unless the condition holds."""
    if not condition:
        raise DecodeError(f"{where} is not {what}")
