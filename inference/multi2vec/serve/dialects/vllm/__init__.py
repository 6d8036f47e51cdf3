"""What vLLM's server has beside OpenAI's embeddings: scores, reranking, vectors of single tokens, and its tokenizer.

The wire format is read from its `vllm/entrypoints/pooling` and `vllm/entrypoints/serve/tokenize`. Scores are those of
an embedding model, as there: cosines from -1 to 1, or with vectors of tokens ColBERT's sums. Unlike there, queries and
documents get the model's prompts for them.

`/v2/rerank` is Cohere's path too. One answer suits the clients of both.
"""

from __future__ import annotations

from functools import partial

from multi2vec.serve import answers, examples
from multi2vec.serve.dialect import Dialect, Endpoint, Post
from multi2vec.serve.dialects.vllm.pooling import PoolingRequest, pooling
from multi2vec.serve.dialects.vllm.rerank import RerankRequest, render_error_for_both, rerank, rerank_for_both
from multi2vec.serve.dialects.vllm.score import ScoreRequest, score
from multi2vec.serve.dialects.vllm.tokens import DetokenizeRequest, TokenizeRequest, detokenize, tokenize
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
TOKENIZE = {"a text": {"prompt": "a red square", "return_token_strs": True}}
DETOKENIZE = {"token ids": {"tokens": [3, 4]}}


def endpoints(service: Service) -> tuple[Endpoint, ...]:
    """`/score` and `/v1/score`, `/rerank` and `/v1/rerank`, `/pooling`, `/tokenize`, `/detokenize`."""
    return (
        *(Post(path, partial(score, service), body=ScoreRequest, examples=SCORE) for path in ("/score", "/v1/score")),
        *(
            Post(path, partial(rerank, service), body=RerankRequest, examples=RERANK)
            for path in ("/rerank", "/v1/rerank")
        ),
        Post("/pooling", partial(pooling, service), body=PoolingRequest, examples=POOLING),
        Post(
            "/tokenize",
            partial(tokenize, service),
            is_mine=lambda keys: "prompt" in keys or "messages" in keys,
            body=TokenizeRequest,
            examples=TOKENIZE,
        ),
        Post("/detokenize", partial(detokenize, service), body=DetokenizeRequest, examples=DETOKENIZE),
    )


DIALECT = Dialect("vllm", endpoints, answers.openai_error)


def endpoints_for_both(service: Service) -> tuple[Endpoint, ...]:
    """`/v2/rerank`."""
    return (Post("/v2/rerank", partial(rerank_for_both, service), body=RerankRequest, examples=RERANK),)


COHERE_RERANK = Dialect("vllm and cohere rerank", endpoints_for_both, render_error_for_both)
