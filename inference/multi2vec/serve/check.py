"""`multi2vec check`: would this model folder be served here? Exit status 0 or 1.

The same as a start, checksums and the manifest's examples included, but nothing listens. An image is built only if this
passes inside it.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

from multi2vec.engine.errors import LoadError
from multi2vec.manifest import ManifestError
from multi2vec.serve import logs
from multi2vec.serve.metrics import Metrics
from multi2vec.serve.service import Service
from multi2vec.serve.settings import Settings


def main(arguments: Sequence[str] = ()) -> int:
    """Load the model of the settings and let it go. Returns the exit status."""
    argparse.ArgumentParser(prog="multi2vec check", description=__doc__).parse_args(arguments)
    # A cache of compiled models is this machine's; an image goes to others.
    settings = Settings(cache_dir=None)
    logs.configure(settings.log_level, settings.log_format)
    try:
        asyncio.run(_load(settings))
    except (ManifestError, LoadError) as error:
        print(f"{settings.model_folder} cannot be served: {error}", file=sys.stderr)
        return 1
    return 0


async def _load(settings: Settings) -> None:
    service = Service(settings, Metrics())
    try:
        await service.load()
    finally:
        service.close()
