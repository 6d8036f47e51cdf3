"""What references share: pictures as the recipe wants them, and texts in their prompts."""

import io

import pytest
from PIL import Image

from multi2vec.convert.references import Opener, on_white, prompted
from multi2vec.specs import Prompt

RED, CLEAR_RED = (255, 0, 0, 255), (255, 0, 0, 0)


def png(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


def test_pictures_are_opened_as_the_file_has_them() -> None:
    assert Opener()(png(Image.new("RGBA", (2, 2), CLEAR_RED))).mode == "RGBA"


@pytest.mark.parametrize(("transparency", "colour"), [("drop", (255, 0, 0)), ("white", (255, 255, 255))])
def test_transparency(transparency: str, colour: tuple[int, int, int]) -> None:
    image = Opener(transparency=transparency)(png(Image.new("RGBA", (2, 2), CLEAR_RED)))  # type: ignore[arg-type]
    assert (image.mode, image.getpixel((0, 0))) == ("RGB", colour)


def test_a_colour_that_counts_as_transparent_is_dropped_for_good() -> None:
    image = Opener(transparency="drop")(png(Image.new("RGB", (2, 2), "red"), transparency=(255, 0, 0)))
    assert "transparency" not in image.info


def test_opaque_pictures_stay_what_they_are_on_white() -> None:
    assert on_white(Image.new("RGBA", (1, 1), RED)).getpixel((0, 0)) == (255, 0, 0)
    assert on_white(Image.new("L", (1, 1), 7)).getpixel((0, 0)) == (7, 7, 7)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        (Prompt("query: "), "query: {task}"),
        (Prompt("{text}"), "{task}"),
        (Prompt("<{text}>"), "<{task}>"),
        (Prompt("{task}: {text}", "find {text}"), "find {text}: {task}"),
        (Prompt("{task}: {text}"), ": {task}"),
        (Prompt("{task}, "), ", {task}"),
    ],
)
def test_prompts(prompt: Prompt, expected: str) -> None:
    """The text is "{task}", which must stay."""
    assert prompted("{task}", prompt) == expected
