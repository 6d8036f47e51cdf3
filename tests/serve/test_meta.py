"""What `/meta` says of a model."""

import dataclasses

from multi2vec import manifest
from multi2vec.serve import meta
from tests.server import DEMO


def test_a_licence_that_forbids_commercial_use_is_shown() -> None:
    read = manifest.read(DEMO)
    assert (meta.describe(read)["licence"], meta.describe(read)["non_commercial"]) == ("apache-2.0", False)
    other = dataclasses.replace(read, licence="cc-by-nc-4.0", non_commercial=True)
    assert (meta.describe(other)["licence"], meta.describe(other)["non_commercial"]) == ("cc-by-nc-4.0", True)
