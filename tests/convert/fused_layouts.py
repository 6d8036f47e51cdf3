"""Those of `layouts.py` whose models take texts and pictures in one item."""

from __future__ import annotations

from tests.checkpoints import (
    embeddinggemma2_layouts,
    phi3_v_layouts,
    qwen2_vl_layouts,
    qwen3_vl_layouts,
)
from tests.convert.layout import Layout

QWEN_VL = ("model.layers.1.self_attn.q_proj.weight", "visual.blocks.0.attn.qkv.bias", "visual.merger.mlp.2.weight")
IN_A_ROW = ("input_ids", "index", "position_ids")
OF_PICTURES = ("pixels", "position_ids")
IN_TABLES = ("interp_indices", "interp_weights")


def fused(names: tuple[str, ...] = OF_PICTURES, **pictures: int) -> dict[str, tuple[str, ...]]:
    """What is prepared of texts, and of items of so many pictures or frames at most, which have these arrays each."""
    shown = {
        modality: tuple(f"picture {number} {name}" for number in range(1, most + 1) for name in names)
        for modality, most in pictures.items()
    }
    return {"text": IN_A_ROW, **{modality: (*IN_A_ROW, *each) for modality, each in shown.items()}}


FUSED = fused(image=1, fused=3)
PHI3_V = {
    modality: tuple(name for name in names if not name.endswith("position_ids")) for modality, names in FUSED.items()
}

LAYOUTS: dict[str, Layout] = {
    "GME": Layout(
        "gme-Qwen2-VL-2B-Instruct",
        qwen2_vl_layouts.gme,
        {"model.safetensors": QWEN_VL},
        {"model.safetensors": ("lm_head.weight",)},
        inputs=FUSED,
        calls={"model.": "language_model."},
        towers=("vision", "language"),
    ),
    "DSE": Layout(
        "dse-qwen2-2b-mrl-v1",
        qwen2_vl_layouts.dse,
        {"pytorch_model.bin": QWEN_VL},
        inputs={**FUSED, "text": FUSED["image"]},
        calls={"model.": "language_model."},
        towers=("vision", "language"),
    ),
    "Ops": Layout(
        "ops-mm-embedding-v1-2b",
        qwen2_vl_layouts.gme,
        {"model.safetensors": QWEN_VL},
        {"model.safetensors": ("lm_head.weight",)},
        inputs=fused(image=1, fused=9, video=8),
        calls={"model.": "language_model."},
        towers=("vision", "language"),
    ),
    "Qwen3-VL": Layout(
        "Qwen3-VL-Embedding-2B",
        qwen3_vl_layouts.qwen3_vl_embedding,
        {
            "model.safetensors": (
                "model.language_model.layers.1.self_attn.q_proj.weight",
                "model.visual.deepstack_merger_list.0.linear_fc1.bias",
                "model.visual.pos_embed.weight",
            )
        },
        {"model.safetensors": ("lm_head.weight",)},
        inputs=fused((*OF_PICTURES, *IN_TABLES), image=1, fused=3, video=4),
        calls={"model.": ""},
        towers=("vision", "language"),
    ),
    "EmbeddingGemma 2": Layout(
        "embeddinggemma-2",
        embeddinggemma2_layouts.embeddinggemma2,
        {
            "model.safetensors": (
                "language_model.layers.1.self_attn.q_proj.weight",
                "language_model.layers.0.layer_scalar",
                "language_model.embedding_projection.weight",
                "vision_tower.encoder.layers.1.mlp.down_proj.linear.weight",
                "vision_tower.patch_embedder.position_embedding_table",
                "embed_vision.embedding_projection.weight",
            )
        },
        {"model.safetensors": ("audio_tower.more.weight",)},
        inputs={
            name: tuple(each for each in names if each != "position_ids")
            for name, names in fused(image=1, fused=5, video=8).items()
        },
        towers=("vision", "language"),
    ),
    "VLM2Vec": Layout(
        "VLM2Vec-Full-crops-4",
        phi3_v_layouts.phi3_v,
        {
            "model-00001-of-00002.safetensors": (
                "model.layers.1.self_attn.qkv_proj.weight",
                "model.embed_tokens.weight",
            ),
            "model-00002-of-00002.safetensors": (
                "model.vision_embed_tokens.img_processor.vision_model.encoder.layers.1.mlp.fc2.weight",
                "model.vision_embed_tokens.img_projection.2.bias",
                "model.vision_embed_tokens.sub_GN",
            ),
        },
        inputs=PHI3_V,
        towers=("vision", "language"),
    ),
}
