"""A look at a body's top-level keys, before it is known what it should be."""

from __future__ import annotations

from functools import cached_property

import msgspec

_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Keys:
    """The keys of a JSON object, and how their values begin. A body that is none has no keys."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def __contains__(self, name: str) -> bool:
        """Whether the object has the key, with a value that is not null."""
        return self.opens(name) not in ("", "n")

    def opens(self, name: str) -> str:
        """The first character of the key's value: one of `{["tfn-0123456789`, or "" without such a key."""
        # Most bodies do not hold the word at all, and are large.
        if name.encode() not in self._body:
            return ""
        value = self._values.get(name)
        return "" if value is None else bytes(value)[:1].decode()

    @cached_property
    def _values(self) -> dict[str, msgspec.Raw]:
        try:
            return _decoder.decode(self._body)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return {}
