"""When a model folder cannot be written, the reason is said in a sentence."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from multi2vec.convert.errors import ConversionError

# What OpenVINO's writer says, whatever the cause is (a RuntimeError).
OPENVINO = "iostream error"
ERRNOS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
    errno.ENOTDIR,
    errno.ENAMETOOLONG,
)


@contextlib.contextmanager
def writing(target: Path) -> Iterator[None]:
    """Make a `ConversionError` of an error of writing `target` or beside it; others pass."""
    try:
        yield
    except OSError as error:
        is_elsewhere = error.filename is not None and not Path(error.filename).is_relative_to(target.parent)
        if error.errno not in ERRNOS or is_elsewhere:
            raise
        raise ConversionError(f"{target} cannot be written: {os.strerror(error.errno)}{_free(target)}") from error
    except RuntimeError as error:
        if OPENVINO not in str(error):
            raise
        raise ConversionError(f"{target} cannot be written: OpenVINO could not write a graph{_free(target)}") from error


def _free(target: Path) -> str:
    """How much room there is, in brackets."""
    existing = next(each for each in target.parents if each.exists())
    return f" ({shutil.disk_usage(existing).free / 1e6:.0f} MB are free there)"
