"""Prints the manifest of the model in this image as one line of JSON."""

from __future__ import annotations

import json


def main() -> None:
    """From the place where images have it."""
    with open("/model/manifest.json", encoding="utf-8") as file:
        print(json.dumps(json.load(file)))


if __name__ == "__main__":
    main()
