"""text-embeddings-inference's API through huggingface_hub's client, unmodified."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError

from tests import toy
from tests.serve.dialects.wire import assert_near
from tests.server import Server

# Ten words are all that the toy takes; the last ones are others.
LONG = " ".join(["cat"] * 10 + ["dog"] * 10)


def unit(vectors: Any) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


class TestHuggingFaceClient:
    def test_one_text_and_several(self, server: Server) -> None:
        client = InferenceClient(server.url)
        found = client.feature_extraction("a red cat")
        assert (found.dtype, found.shape) == (np.float32, (1, toy.DIMENSIONS))
        assert_near(found, [toy.text_vector("a red cat")])
        texts = ["a red cat", "the dog"]
        assert_near(client.feature_extraction(texts), [toy.text_vector(text) for text in texts])

    def test_its_arguments(self, prompted: Server) -> None:
        client = InferenceClient(base_url=prompted.url)
        found = client.feature_extraction("a cat", normalize=False, prompt_name="query", truncate=True)
        assert_near(found, [toy.text_row("one a cat")])
        found = client.feature_extraction(LONG, truncate=True, truncation_direction="left")
        assert_near(found, [toy.text_vector(" ".join(["dog"] * 10))])
        found = client.feature_extraction("a cat", dimensions=8, encoding_format="float")
        assert_near(found, [unit(toy.text_row("a cat")[:8])])

    def test_at_the_path_itself(self, server: Server) -> None:
        found = InferenceClient().feature_extraction("sun", model=server.url + "/embed")
        assert_near(found, [toy.text_vector("sun")])

    def test_it_shows_what_was_wrong(self, server: Server) -> None:
        with pytest.raises(HfHubHTTPError, match="22 tokens") as caught:
            InferenceClient(server.url).feature_extraction(LONG, truncate=False)
        assert caught.value.response.status_code == 422
