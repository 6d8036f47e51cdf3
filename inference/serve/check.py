"""`python -m inference.serve.check`: would this model folder be served here? Exit status 0 or 1.

The same as a start, checksums and the manifest's examples included, but nothing listens. An image is built only if this
passes inside it.
"""

from __future__ import annotations

import asyncio
import sys

from inference.manifest import ManifestError
from inference.serve import logs
from inference.serve.encoder import DeviceError
from inference.serve.metrics import Metrics
from inference.serve.service import SelfTestFailed, Service
from inference.serve.settings import Settings


def main() -> int:
    """Load the model of the settings and let it go. Returns the exit status."""
    # A cache of compiled models is this machine's; an image goes to others.
    settings = Settings(cache_dir=None)
    logs.configure(settings.log_level, settings.log_format)
    try:
        asyncio.run(_load(settings))
    except (ManifestError, DeviceError, SelfTestFailed) as error:
        print(f"{settings.model_folder} cannot be served: {error}", file=sys.stderr)
        return 1
    return 0


async def _load(settings: Settings) -> None:
    service = Service(settings, Metrics())
    try:
        await service.load()
    finally:
        service.close()


if __name__ == "__main__":
    sys.exit(main())
