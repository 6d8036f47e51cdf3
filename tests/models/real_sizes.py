"""Checkpoints of real size with random weights, by tag; one or more of each family.

Each is written by a process of its own, since a writer's memory would count in what comes after it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

# The function that writes each, as module and name in tests.checkpoints.
REAL_SIZES: dict[str, str] = {
    "bge-large-en-v1.5": "text_layouts:bge_large",
    "bge-m3": "bge_m3_layouts:bge_m3_real",
    "blip2-itm-vit-g": "blip2_layouts:blip2_itm_vit_g",
    "clip-vit-b-16": "catalogue_layouts:openai_vit_b16",
    "cn-clip-vit-b-16": "chinese_clip_layouts:cn_clip_vit_b_16",
    "embeddinggemma-2": "embeddinggemma2_layouts:embeddinggemma_2",
    "facebook-metaclip-2-worldwide-b32-384": "clip_layouts:metaclip_2_worldwide_b32_384",
    "gme-Qwen2-VL-2B-Instruct": "qwen2_vl_layouts:gme_2b",
    "google-siglip2-so400m-patch16-384": "siglip_layouts:siglip2_so400m_patch16_384",
    "jina-embeddings-v3": "jina_v3_layouts:jina_v3_real",
    "mobileclip_s0": "mobileclip_layouts:mobileclip_s0_real_size",
    "mobileclip_s1": "catalogue_layouts:mobileclip_s1_real_size",
    "ModernVBERT-modernvbert-embed": "modernvbert_layouts:modernvbert_embed",
    "openai-clip-vit-base-patch32": "clip_layouts:clip_vit_b32",
    "pe-core-b-16": "catalogue_layouts:pe_core_real_size",
    "qwen3-embedding-0.6b": "text_layouts:qwen3_embedding_06b",
    "qwen3-embedding-4b": "text_layouts:qwen3_embedding_4b",
    "qwen3-embedding-8b": "text_layouts:qwen3_embedding_8b",
    "Qwen3-VL-Embedding-2B": "qwen3_vl_layouts:qwen3_vl_embedding_2b",
    "sentence-transformers-clip-ViT-B-32-multilingual-v1": "pipeline_layouts:multilingual_clip_vit_b32",
    "siglip2-vit-b-16": "catalogue_layouts:siglip2_base_patch16_224",
    "tipsv2-b14": "tipsv2_layouts:tipsv2_b14",
}

# Those that CI converts: two towers of transformers and of open_clip, and a decoder in 16 bits.
CHOSEN: tuple[str, ...] = ("cn-clip-vit-b-16", "mobileclip_s1", "qwen3-embedding-0.6b")

# How long those may take that need more than half an hour on two cores.
SECONDS: dict[str, int] = {
    "gme-Qwen2-VL-2B-Instruct": 7200,
    "qwen3-embedding-4b": 5400,
    "qwen3-embedding-8b": 10800,
    "Qwen3-VL-Embedding-2B": 7200,
}

# Those whose conversion must do without a copy in float32.
SIXTEEN_BITS: tuple[str, ...] = ("qwen3-embedding-0.6b", "qwen3-embedding-4b", "qwen3-embedding-8b")

WRITE = """
import importlib, pathlib, sys
module, function, folder = sys.argv[1:]
getattr(importlib.import_module(module), function)(pathlib.Path(folder))
"""


def write(tag: str, folder: Path) -> Path:
    """Write the tag's checkpoint."""
    module, _, function = REAL_SIZES[tag].partition(":")
    command = [sys.executable, "-W", "ignore", "-c", WRITE, f"tests.checkpoints.{module}", function, str(folder)]
    subprocess.run(command, cwd=ROOT, check=True)
    return folder
