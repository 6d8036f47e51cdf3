"""Small random-weight checkpoints in the layouts of the model hub, saved by the original libraries themselves.

Weights are drawn so that different inputs give clearly different vectors: freshly initialised models answer nearly the
same vector to everything, and a cosine between two of those says nothing. One module per kind of layout.
"""

from tests.checkpoints.blip2_layouts import blip2, blip2_itm_vit_g
from tests.checkpoints.clip_layouts import as_older_versions, clip, clip_as_openai, clip_vit_b32
from tests.checkpoints.common import bert_tokenizer, clip_tokenizer, spread, xlm_roberta_tokenizer
from tests.checkpoints.modernvbert_layouts import modernvbert, modernvbert_embed
from tests.checkpoints.open_clip_layouts import (
    SMALL_OPEN_CLIP,
    open_clip_folder,
    quick_gelu_open_clip,
    xlm_roberta_open_clip,
)
from tests.checkpoints.pipeline_layouts import (
    multilingual_clip,
    sentence_transformers_clip,
    sentence_transformers_texts,
)

__all__ = [
    "SMALL_OPEN_CLIP",
    "as_older_versions",
    "bert_tokenizer",
    "blip2",
    "blip2_itm_vit_g",
    "clip",
    "clip_as_openai",
    "clip_tokenizer",
    "clip_vit_b32",
    "modernvbert",
    "modernvbert_embed",
    "multilingual_clip",
    "open_clip_folder",
    "quick_gelu_open_clip",
    "sentence_transformers_clip",
    "sentence_transformers_texts",
    "spread",
    "xlm_roberta_open_clip",
    "xlm_roberta_tokenizer",
]
