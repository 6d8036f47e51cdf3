"""What can stop a conversion. Each message is a sentence for the person who started it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


class ConversionError(Exception):
    """The model cannot be converted; nothing was written."""


class RecipeError(ConversionError):
    """A recipe is not there, or says something that it must not."""


class SourceError(ConversionError):
    """The checkpoint cannot be had, or is not what the recipe says."""


class ParityError(ConversionError):
    """The served vectors would differ from the original library's."""


def one_line(error: Exception) -> str:
    """A library's message, which may go over several lines, as a part of a sentence."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


@contextlib.contextmanager
def reading(where: object, what: str) -> Iterator[None]:
    """Whatever a library raises inside as a `SourceError`: `where` cannot be read as `what`."""
    try:
        yield
    except ConversionError:
        raise
    except Exception as error:
        raise SourceError(f"{where} cannot be read as {what}: {one_line(error)}") from error
