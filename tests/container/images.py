"""The images that tests run, built as a user builds them: `python -m tests.container.images`.

`demo` is the embedded model, `demo-video` the same with a decoder of videos; `random` a ViT-B/32 with random weights
from a checkpoint on this machine, a model without a recipe. The environment decides what they are built with and on:
`BASE_IMAGE`, `BUILD_NETWORK` and what build_images.sh takes.
"""

from __future__ import annotations

import os
import subprocess
import sys

from tests.benchmarks import models
from tests.server import ROOT

REPOSITORY = "localhost/multi2vec-openvino"
DEMO = f"{REPOSITORY}:demo"
VIDEO = f"{REPOSITORY}:demo-video"
RANDOM = f"{REPOSITORY}:random"
# Real ones have this layout.
NAME = "openai/clip-vit-base-patch32"


def build(*arguments: str, **variables: str) -> None:
    """Run build_images.sh; what is built already is not built again."""
    assignments = [f"{name}={value}" for name, value in variables.items()]
    network = ["--", "--network", os.environ["BUILD_NETWORK"]] if os.environ.get("BUILD_NETWORK") else []
    script = [str(ROOT / "build_images.sh"), "--repo", REPOSITORY, *arguments, *network]
    subprocess.run(["env", *assignments, *script], cwd=ROOT, check=True)


def main() -> int:
    """Build them. Returns the exit status."""
    try:
        build("demo")
        build("demo", "--video")
        build("random", "--source", str(models.checkpoint()), CLIP_MODEL_NAME=NAME, TEXT_MODEL_NAME=NAME)
    except subprocess.CalledProcessError as error:
        return error.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
