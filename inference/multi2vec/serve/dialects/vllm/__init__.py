"""What vLLM's server has beside OpenAI's embeddings: scores, reranking, vectors of single tokens, and its tokenizer.

The wire format is read from its `vllm/entrypoints/pooling` and `vllm/entrypoints/serve/tokenize`. Scores are those of
an embedding model, as there: cosines from -1 to 1, or with vectors of tokens ColBERT's sums. Unlike there, queries and
documents get the model's prompts for them.

`/v2/rerank` is Cohere's path too. One answer suits the clients of both.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from multi2vec.serve import answers, examples
from multi2vec.serve.dialect import Dialect, Endpoint, Post
from multi2vec.serve.dialects.vllm.pooling import POOLING_EXAMPLE, PoolingRequest, pooling
from multi2vec.serve.dialects.vllm.rerank import (
    RERANK_EXAMPLE,
    RerankRequest,
    render_error_for_both,
    rerank,
    rerank_for_both,
)
from multi2vec.serve.dialects.vllm.score import SCORE_EXAMPLE, ScoreRequest, score
from multi2vec.serve.dialects.vllm.tokens import (
    DETOKENIZE_EXAMPLE,
    TOKENIZE_EXAMPLE,
    DetokenizeRequest,
    TokenizeRequest,
    detokenize,
    tokenize,
)
from multi2vec.serve.service import Service

SCORE = {
    "one with several": {"model": "any", "queries": "a red square", "documents": ["a square", "a blue circle"]},
    "a picture with texts": {
        "model": "any",
        "data_1": {"content": [{"type": "image_url", "image_url": {"url": examples.URI}}]},
        "data_2": ["a red square", "a blue circle"],
    },
}
RERANK = {"texts": {"model": "any", "query": "a red square", "documents": ["a blue circle", "a square"], "top_n": 1}}
POOLING = {
    "vectors of tokens (needs a model that has them)": {"model": "any", "input": "a red square"},
    "dense vectors": {"model": "any", "input": ["a red square"], "task": "embed"},
}
BEST_FIRST = "documents, those that fit a query best first"
TOKENIZE = {"a text": {"prompt": "a red square", "return_token_strs": True}}
DETOKENIZE = {"token ids": {"tokens": [3, 4]}}


def endpoints(service: Service) -> tuple[Endpoint, ...]:
    """`/score` and `/v1/score`, `/rerank` and `/v1/rerank`, `/pooling`, `/tokenize`, `/detokenize`."""
    scored = Post("/score", partial(score, service), ScoreRequest, SCORE_EXAMPLE, "how alike pairs are", SCORE)
    ranked = Post("/rerank", partial(rerank, service), RerankRequest, RERANK_EXAMPLE, BEST_FIRST, RERANK)
    return (
        scored,
        replace(scored, path="/v1/score"),
        ranked,
        replace(ranked, path="/v1/rerank"),
        Post("/pooling", partial(pooling, service), PoolingRequest, POOLING_EXAMPLE, "vectors of tokens", POOLING),
        Post(
            "/tokenize",
            partial(tokenize, service),
            TokenizeRequest,
            TOKENIZE_EXAMPLE,
            "tokens of a text",
            TOKENIZE,
            is_mine=lambda keys: "prompt" in keys or "messages" in keys,
        ),
        Post(
            "/detokenize",
            partial(detokenize, service),
            DetokenizeRequest,
            DETOKENIZE_EXAMPLE,
            "the text of tokens",
            DETOKENIZE,
        ),
    )


DIALECT = Dialect("vllm", endpoints, answers.openai_error)


def endpoints_for_both(service: Service) -> tuple[Endpoint, ...]:
    """`/v2/rerank`."""
    answer = partial(rerank_for_both, service)
    return (Post("/v2/rerank", answer, RerankRequest, RERANK_EXAMPLE, BEST_FIRST, RERANK),)


COHERE_RERANK = Dialect("vllm and cohere rerank", endpoints_for_both, render_error_for_both)
