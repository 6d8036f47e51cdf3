"""The table of dialects. The first one's errors are shown where a path belongs to none."""

from multi2vec.serve.dialect import Dialect
from multi2vec.serve.dialects import cohere, openai, tei
from multi2vec.serve.dialects.weaviate import clip, jinaai, transformers

DIALECTS: tuple[Dialect, ...] = (
    clip.DIALECT,
    transformers.DIALECT,
    jinaai.DIALECT,
    openai.DIALECT,
    tei.DIALECT,
    cohere.DIALECT,
)
