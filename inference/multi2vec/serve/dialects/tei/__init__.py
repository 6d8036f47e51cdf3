"""What clients of Hugging Face's text-embeddings-inference send and expect, huggingface_hub's `InferenceClient` among
them.

The wire format is read from its router (`router/src/http/types.rs` and `server.rs`).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from multi2vec import __version__
from multi2vec.manifest import Source
from multi2vec.serve import models
from multi2vec.serve.dialect import Dialect, Endpoint, Get, Post
from multi2vec.serve.dialects.tei.embed import EXAMPLE, EmbedRequest, InputsRequest, embed, embed_all, embed_sparse
from multi2vec.serve.dialects.tei.errors import render_error
from multi2vec.serve.dialects.tei.tokens import (
    DECODE_EXAMPLE,
    TOKENIZE_EXAMPLE,
    DecodeRequest,
    TokenizeRequest,
    decode,
    tokenize,
)
from multi2vec.serve.service import Service

EMBED = {"texts": {"inputs": ["a red square", "a blue circle"], "normalize": True, "truncate": True}}
SPARSE = {"texts (needs a model with sparse vectors)": {"inputs": ["a red square"]}}
ALL = {"texts (needs a model with vectors of tokens)": {"inputs": ["a red square"]}}
TOKENIZE = {"texts": {"inputs": ["a red square"], "add_special_tokens": True}}
DECODE = {"token ids": {"ids": [[3, 4]], "skip_special_tokens": True}}

# What weights are stored as, in that API's words.
DTYPES = {"fp32": "float32", "fp16": "float16"}


def endpoints(service: Service) -> tuple[Endpoint, ...]:
    """`/embed`, `/embed_sparse`, `/embed_all`, `/tokenize`, `/decode`, `/info`."""
    dense = Post("/embed", partial(embed, service), EmbedRequest, EXAMPLE, "vectors of texts", EMBED)
    return (
        dense,
        # huggingface_hub's client posts to the server's bare URL.
        replace(dense, path="/"),
        Post("/embed_sparse", partial(embed_sparse, service), InputsRequest, EXAMPLE, "weights by token id", SPARSE),
        Post("/embed_all", partial(embed_all, service), InputsRequest, EXAMPLE, "vectors of tokens", ALL),
        Post("/tokenize", partial(tokenize, service), TokenizeRequest, TOKENIZE_EXAMPLE, "tokens of texts", TOKENIZE),
        Post("/decode", partial(decode, service), DecodeRequest, DECODE_EXAMPLE, "texts of tokens", DECODE),
        Get("/info", partial(info, service)),
    )


DIALECT = Dialect("text-embeddings-inference", endpoints, render_error)


def info(service: Service) -> dict[str, Any]:
    """What `/info` tells of the model and of the server's limits."""
    manifest, settings = service.manifest, service.settings
    source = next(iter(manifest.sources), Source(manifest.tag))
    return {
        "model_id": source.name,
        "model_sha": source.revision,
        "model_dtype": DTYPES.get(manifest.precision, manifest.precision),
        "served_model_name": manifest.tag,
        # Clients want a word. Pooling is inside the tower, and the manifest does not say which it is.
        "model_type": {"embedding": {"pooling": "model"}},
        # Both servers count inputs here, not requests.
        "max_concurrent_requests": settings.max_queue,
        "max_input_length": models.longest_text(manifest),
        "max_batch_tokens": settings.text_batch_tokens,
        "max_batch_requests": settings.text_batch,
        "max_client_batch_size": settings.max_items,
        "auto_truncate": models.truncation(service, "end") != "refuse",
        "tokenization_workers": service.execution.cpu_threads,
        "version": __version__,
        "sha": None,
        "docker_label": None,
        "tag": manifest.tag,
        "fingerprint": manifest.fingerprint,
    }
