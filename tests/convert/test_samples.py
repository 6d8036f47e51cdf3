"""What parity runs on."""

import io

import pytest
from PIL import Image

from multi2vec.convert import photographs, samples
from multi2vec.convert.samples import SAMPLES


def test_they_are_the_same_every_time() -> None:
    once = samples.pictures()
    samples.pictures.cache_clear()
    photographs.camera_files.cache_clear()
    assert samples.pictures() == once


@pytest.mark.parametrize("modality", SAMPLES)
def test_names_tell_them_apart(modality: str) -> None:
    found = SAMPLES[modality].all()
    assert len({each.name for each in found}) == len(found)


def test_photographs_have_the_sizes_of_cameras() -> None:
    files = photographs.camera_files()
    sizes = {Image.open(io.BytesIO(data)).size for data in files.values()}
    assert sizes == {(4000, 3000), (3024, 4032), (1920, 1280), (6000, 4000)}
    assert {each.item for each in samples.pictures()} >= set(files.values())


def test_examples_are_small_enough_for_a_manifest() -> None:
    assert len(SAMPLES["text"].examples()) == 8
    pictures = SAMPLES["image"].examples()
    assert len(pictures) == 4
    assert max(map(len, pictures)) < 8_000
    assert {Image.open(io.BytesIO(data)).format for data in pictures} == {"JPEG", "PNG"}
