"""The table of dialects. The first one's errors are shown where a path belongs to none."""

from multi2vec.serve.dialect import Dialect
from multi2vec.serve.dialects import cohere, intel, openai, tei, vllm
from multi2vec.serve.dialects.tei import scoring as tei_scoring
from multi2vec.serve.dialects.weaviate import clip, jinaai, reranker, transformers

DIALECTS: tuple[Dialect, ...] = (
    clip.DIALECT,
    transformers.DIALECT,
    jinaai.DIALECT,
    openai.DIALECT,
    tei.DIALECT,
    cohere.DIALECT,
    intel.DIALECT,
    vllm.DIALECT,
    vllm.COHERE_RERANK,
    tei_scoring.DIALECT,
    reranker.DIALECT,
)
