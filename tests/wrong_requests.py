"""Requests that go wrong, of each API, by the cause that docs/apis.md has a status for."""

from __future__ import annotations

from typing import Any

# The servers that they go wrong with, by what the page says of them.
PLAIN, KEYED, STRICT = "", "wants a key", "is strict"

# The column of the table of statuses that each API has.
COLUMNS = {
    "weaviate multi2vec-clip": "Weaviate",
    "weaviate multi2vec-jinaai": "Weaviate",
    "openai": "OpenAI",
    "vllm": "OpenAI",
    "cohere": "Cohere",
    "text-embeddings-inference": "text-embeddings-inference",
    "intel": "Intel",
}

# Requests that go wrong, by how the table's row begins that says with what status.
BODY, PICTURE, LACKS, KEY, NAME, MANY = (
    "the body is not",
    "a picture that",
    "something that the model lacks",
    "no key",
    "another model's name",
    "more than",
)
SERVERS = {KEY: KEYED, NAME: STRICT, MANY: STRICT}
BAD = "data:image/png;base64,AAAA"
Wrong = dict[str, tuple[str, dict[str, Any]]]
WRONG: dict[str, Wrong] = {
    "weaviate multi2vec-clip": {
        BODY: ("/vectorize", {"texts": 1}),
        PICTURE: ("/vectorize", {"images": ["AAAA"]}),
        LACKS: ("/vectorize", {"audio": ["AAAA"]}),
        KEY: ("/vectorize", {"texts": ["a"]}),
        MANY: ("/vectorize", {"texts": ["a"] * 3}),
    },
    "weaviate multi2vec-jinaai": {
        BODY: ("/v1/embeddings", {"input": 1, "embedding_type": "float"}),
        PICTURE: ("/v1/embeddings", {"input": [{"image": "AAAA"}], "embedding_type": "float"}),
        LACKS: ("/v1/embeddings", {"input": ["a"], "embedding_type": "float", "dimensions": 64}),
        KEY: ("/v1/embeddings", {"input": ["a"], "embedding_type": "float"}),
        NAME: ("/v1/embeddings", {"input": ["a"], "embedding_type": "float", "model": "other"}),
        MANY: ("/v1/embeddings", {"input": ["a"] * 3, "embedding_type": "float"}),
    },
    "openai": {
        BODY: ("/v1/embeddings", {"input": 1}),
        PICTURE: ("/v1/embeddings", {"input": [BAD]}),
        LACKS: ("/v1/embeddings", {"input": "a", "dimensions": 64}),
        KEY: ("/v1/embeddings", {"input": "a"}),
        NAME: ("/v1/embeddings", {"input": "a", "model": "other"}),
        MANY: ("/v1/embeddings", {"input": ["a"] * 3}),
    },
    "vllm": {
        BODY: ("/score", {"queries": "a"}),
        PICTURE: ("/score", {"queries": "a", "documents": BAD}),
        LACKS: ("/pooling", {"input": "a"}),
        KEY: ("/score", {"queries": "a", "documents": "b"}),
        NAME: ("/score", {"queries": "a", "documents": "b", "model": "other"}),
        MANY: ("/score", {"queries": "a", "documents": ["b"] * 3}),
    },
    "cohere": {
        BODY: ("/v2/embed", {"texts": 1}),
        PICTURE: ("/v2/embed", {"images": [BAD]}),
        LACKS: ("/v2/embed", {"texts": ["a"], "output_dimension": 64}),
        KEY: ("/v2/embed", {"texts": ["a"]}),
        NAME: ("/v2/embed", {"texts": ["a"], "model": "other"}),
        MANY: ("/v2/embed", {"texts": ["a"] * 3}),
    },
    "text-embeddings-inference": {
        BODY: ("/embed", {"inputs": 1}),
        PICTURE: ("/embed", {"inputs": [BAD]}),
        LACKS: ("/embed", {"inputs": "a", "dimensions": 64}),
        KEY: ("/embed", {"inputs": "a"}),
        MANY: ("/embed", {"inputs": ["a"] * 3}),
    },
    "intel": {
        BODY: ("/embeddings", {"input": {"type": "audio"}}),
        PICTURE: ("/embeddings", {"input": {"type": "image_url", "image_url": BAD}}),
        LACKS: ("/embeddings", {"input": {"type": "video_url", "video_url": "http://files/1.mp4"}}),
        KEY: ("/embeddings", {"input": {"type": "text", "text": "a"}}),
        NAME: ("/embeddings", {"input": {"type": "text", "text": "a"}, "model": "other"}),
        MANY: ("/embeddings", {"input": {"type": "text", "text": ["a"] * 3}}),
    },
}
