"""What can go wrong between an item and its vector, and where.

    open_model → DeviceError, WrongVectors (and ManifestError)

    item → prepare → queue → encode → finish
             │         │        │
          BadInput  Overloaded  EncodeFailed
          TooLarge  Closed
          Unsupported

    EmbedError
    ├── ClientError
    │   ├── BadInput        a text or picture cannot be used
    │   ├── Unsupported     the model has no such modality, prompt, output or length of vectors
    │   └── TooLarge        over a limit
    ├── Unavailable
    │   ├── Overloaded      the queue is full, or the wait would outlast the caller
    │   └── Closed          the model was closed
    └── EncodeFailed        inference failed
    LoadError
    ├── DeviceError         the device that was asked for is not there
    └── WrongVectors        this machine's vectors are not the original library's

Every message is one sentence for the person who sent the item: what was wrong, and what would be right.
"""

from __future__ import annotations

from typing import Self


class EmbedError(Exception):
    """The root of what `embed` raises. `limit` names the setting that was in the way, if one was."""

    limit = ""
    # One failed batch is the failure of many requests; its traceback is logged for the first of them.
    is_logged = False

    def __init__(self, message: str, *, limit: str = "") -> None:
        super().__init__(f"{message} ({limit})" if limit else message)
        self.sentence = message
        self.limit = limit

    @property
    def message(self) -> str:
        """One sentence for the caller."""
        return str(self)


class ClientError(EmbedError):
    """What was asked for cannot be done; asking again will not help."""

    def about(self, what: str) -> Self:
        """The same error with the item that it is about in front."""
        return type(self)(f"{what}: {self.sentence}", limit=self.limit)


class BadInput(ClientError):
    """A text or picture cannot be used."""


class Unsupported(ClientError):
    """The model has no such modality, prompt, output or length of vectors."""


class TooLarge(ClientError):
    """Over one of the limits; the message names the setting."""


class Unavailable(EmbedError):
    """Asking again, later, can help; `retry_after` is in seconds."""

    def __init__(self, message: str, *, limit: str = "", retry_after: int = 1) -> None:
        super().__init__(message, limit=limit)
        self.retry_after = retry_after


class Overloaded(Unavailable):
    """The queue is full, or the estimated wait is longer than callers wait."""


class Closed(Unavailable):
    """The model was closed while or before it was asked."""


class EncodeFailed(EmbedError):
    """Inference failed; the reason is its cause, not in the message."""


class LoadError(RuntimeError):
    """A model cannot be used on this machine."""


class DeviceError(LoadError):
    """The device that was asked for cannot be used; the message lists those that can."""


class WrongVectors(LoadError):
    """This machine's vectors for the examples are not the original library's."""
