"""Checkpoints of real size with random weights, by tag; one or more of each family.

Each is written by a process of its own, since a writer's memory would count in what comes after it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

# The function that writes each, as module and name in tests.checkpoints.
REAL_SIZES: dict[str, str] = {
    "openai-clip-vit-base-patch32": "clip_layouts:clip_vit_b32",
    "mobileclip_s0": "mobileclip_layouts:mobileclip_s0_real_size",
    "mobileclip_s1": "catalogue_layouts:mobileclip_s1_real_size",
    "siglip2-vit-b-16": "catalogue_layouts:siglip2_base_patch16_224",
    "pe-core-b-16": "catalogue_layouts:pe_core_real_size",
    "clip-vit-b-16": "catalogue_layouts:openai_vit_b16",
}

# Those that CI converts.
CHOSEN: tuple[str, ...] = ("openai-clip-vit-base-patch32", "mobileclip_s1", "siglip2-vit-b-16")

WRITE = """
import importlib, pathlib, sys
module, function, folder = sys.argv[1:]
getattr(importlib.import_module(module), function)(pathlib.Path(folder))
"""


def write(tag: str, folder: Path) -> Path:
    """Write the tag's checkpoint."""
    module, _, function = REAL_SIZES[tag].partition(":")
    command = [sys.executable, "-W", "ignore", "-c", WRITE, f"tests.checkpoints.{module}", function, str(folder)]
    subprocess.run(command, cwd=ROOT, check=True)
    return folder
