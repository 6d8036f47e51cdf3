"""What VLM2Vec's authors give to their processor, and the pieces that it tokenises, each with a `<s>` of its own.

The first four are of their example (experiments/examples/phi3_v/demo.py of github.com/TIGER-AI-Lab/VLM2Vec), the next
ones as their evaluation of MMEB puts an instruction and a text together. A number is a picture's, from 1 on.
"""

from __future__ import annotations

Pieces = tuple[str | int, ...]

PROMPTS: dict[str, Pieces] = {
    "A cat and a dog": ("A cat and a dog",),
    "Find me an everyday image that matches the given caption: A cat and a dog.": (
        "Find me an everyday image that matches the given caption: A cat and a dog.",
    ),
    "<|image_1|> Represent the given image.": ("", 1, " Represent the given image."),
    "<|image_1|> Represent the given image with the following question: What is in the image": (
        "",
        1,
        " Represent the given image with the following question: What is in the image",
    ),
    "<|image_1|>\nRepresent the given image with the following question: What is it?\n": (
        "",
        1,
        "\nRepresent the given image with the following question: What is it?\n",
    ),
    "": ("",),
    "<|image_1|>": ("", 1, ""),
    "<|image_1|> <|image_2|> Which is older?": ("", 1, " ", 2, " Which is older?"),
    "one <|image_1|> and the other <|image_2|>": ("one ", 1, " and the other ", 2, ""),
}
