"""The layouts of checkpoints that every general test of conversion runs on: a new family is an entry here."""

from __future__ import annotations

from tests import checkpoints
from tests.checkpoints import (
    bge_m3_layouts,
    catalogue_layouts,
    chinese_clip_layouts,
    clip_layouts,
    jina_v3_layouts,
    mobileclip_layouts,
    siglip_layouts,
    text_layouts,
    tipsv2_layouts,
)
from tests.convert import fused_layouts
from tests.convert.layout import Layout

CLIP = {
    "model.safetensors": (
        "text_model.encoder.layers.1.self_attn.q_proj.weight",
        "vision_model.encoder.layers.0.layer_norm1.bias",
        "text_model.embeddings.position_embedding.weight",
        "vision_model.embeddings.class_embedding",
        "visual_projection.weight",
    )
}
SIGLIP = {
    "model.safetensors": (
        "text_model.encoder.layers.1.self_attn.q_proj.weight",
        "text_model.embeddings.token_embedding.weight",
        "text_model.head.bias",
        "vision_model.encoder.layers.0.layer_norm1.bias",
        "vision_model.head.attention.in_proj_weight",
        "vision_model.head.probe",
    )
}
POSITION_IDS = ("text_model.embeddings.position_ids", "vision_model.embeddings.position_ids")
# With what transformers calls them.
TIPSV2 = {
    "text_encoder.transformer.resblocks.1.attn.in_proj_weight": "text_model.encoder.layers.1.self_attn.",
    "text_encoder.token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "text_encoder.ln_final.bias": "text_model.final_layer_norm.bias",
    "vision_encoder.blocks.0.attn.qkv.weight": "vision_model.encoder.layer.0.attention.q_proj.weight",
    "vision_encoder.blocks.1.ls1.gamma": "vision_model.encoder.layer.1.layer_scale1.lambda1",
    "vision_encoder.pos_embed": "vision_model.embeddings.position_embeddings",
    "vision_encoder.register_tokens": "vision_model.embeddings.register_tokens",
}
OPEN_CLIP = {
    "open_clip_model.safetensors": (
        "transformer.resblocks.1.attn.in_proj_weight",
        "visual.transformer.resblocks.0.ln_1.bias",
        "positional_embedding",
        "visual.positional_embedding",
        "text_projection",
    )
}


def timm_open_clip(*names: str) -> dict[str, tuple[str, ...]]:
    """Tensors of open_clip's own text tower as a module of its own, and those of timm's picture tower."""
    texts = ("text.transformer.resblocks.1.attn.in_proj_weight", "text.positional_embedding")
    return {"open_clip_model.safetensors": (*texts, *(f"visual.trunk.{name}" for name in names))}


BERT = {
    "model.safetensors": (
        "encoder.layer.1.attention.self.query.weight",
        "embeddings.LayerNorm.bias",
        "embeddings.position_embeddings.weight",
    )
}
DECODER = {
    "model.safetensors": ("layers.1.self_attn.q_proj.weight", "layers.0.input_layernorm.weight", "embed_tokens.weight")
}
TEXTS_ONLY = {"text": ("input_ids",)}
LAYOUTS: dict[str, Layout] = {
    "clip": Layout(
        "openai-clip-vit-base-patch32",
        checkpoints.clip,
        CLIP,
        {"model.safetensors": POSITION_IDS},
    ),
    "clip with OpenAI's configuration": Layout("openai-clip-vit-base-patch16", checkpoints.clip_as_openai, CLIP),
    "MetaCLIP 2": Layout(
        "facebook-metaclip-2-worldwide-b32-384",
        clip_layouts.metaclip_2,
        CLIP,
        {"model.safetensors": POSITION_IDS},
    ),
    "open_clip": Layout("ViT-B-16-laion2b_s34b_b88k", checkpoints.open_clip_folder, OPEN_CLIP),
    "open_clip with QuickGELU": Layout("ViT-B-32-quickgelu-laion400m_e32", checkpoints.quick_gelu_open_clip, OPEN_CLIP),
    "open_clip with XLM-RoBERTa": Layout(
        "xlm-roberta-base-ViT-B-32-laion5b_s13b_b90k",
        checkpoints.xlm_roberta_open_clip,
        {
            "open_clip_model.safetensors": (
                "text.transformer.encoder.layer.1.attention.self.query.weight",
                "text.transformer.embeddings.LayerNorm.bias",
                "visual.positional_embedding",
                "text.proj.0.weight",
            )
        },
        {"open_clip_model.safetensors": ("text.transformer.embeddings.position_ids",)},
    ),
    "SigLIP 2 of open_clip": Layout(
        "siglip2-vit-b-16",
        catalogue_layouts.siglip2,
        timm_open_clip("blocks.1.attn.qkv.weight", "attn_pool.latent", "pos_embed"),
    ),
    "MobileCLIP-S1": Layout(
        "mobileclip_s1",
        catalogue_layouts.mobileclip_s1,
        timm_open_clip(
            "stem.1.conv_scale.bn.running_mean",
            "stages.0.blocks.0.token_mixer.layer_scale.gamma",
            "stages.2.downsample.proj.0.large_conv.conv.weight",
            "stages.3.pos_emb.pos_enc.weight",
            "final_conv.se.fc1.bias",
        ),
    ),
    "MobileCLIP-B": Layout(
        "mobileclip_b",
        catalogue_layouts.mobileclip_b,
        timm_open_clip("patch_embed.backbone.0.bn.running_var", "blocks.1.mlp.fc1.weight", "cls_token", "head.weight"),
    ),
    "MobileCLIP2-S3": Layout(
        "mobileclip2-s3",
        catalogue_layouts.mobileclip2_s3,
        timm_open_clip(
            "stages.4.blocks.0.token_mixer.qkv.weight", "stages.3.blocks.0.norm.weight", "stages.4.pos_emb.pos_enc.bias"
        ),
    ),
    "PE-Core": Layout(
        "pe-core-b-16",
        catalogue_layouts.pe_core,
        timm_open_clip("blocks.1.attn.qkv.weight", "attn_pool.latent", "norm_pre.weight"),
    ),
    "MetaCLIP 2 of open_clip": Layout("metaclip-2-worldwide-h-14", catalogue_layouts.metaclip_2, OPEN_CLIP),
    "MobileCLIP-S0": Layout(
        "mobileclip_s0",
        mobileclip_layouts.mobileclip_s0,
        {
            "mobileclip_s0.pt": (
                "text_encoder.transformer.1.pre_norm_mha.1.qkv_proj.weight",
                "text_encoder.transformer.0.token_mixer.mixer.rbr_conv.0.bn.running_var",
                "text_encoder.positional_embedding.pos_embed.pos_embed",
                "text_encoder.projection_layer",
                "image_encoder.model.network.0.0.token_mixer.layer_scale",
                "image_encoder.model.head.proj",
                "logit_scale",
            )
        },
        configurations="mobileclip_s0.json",
    ),
    "sentence_transformers": Layout(
        "sentence-transformers-clip-ViT-B-32",
        checkpoints.sentence_transformers_clip,
        {
            "0_CLIPModel/pytorch_model.bin": (
                "text_model.encoder.layers.1.self_attn.q_proj.weight",
                "vision_model.encoder.layers.0.layer_norm1.bias",
                "text_projection.weight",
            )
        },
        {"0_CLIPModel/pytorch_model.bin": POSITION_IDS},
    ),
    "sentence_transformers multilingual": Layout(
        "sentence-transformers-clip-ViT-B-32-multilingual-v1",
        checkpoints.multilingual_clip,
        {
            "clip-ViT-B-32/0_CLIPModel/pytorch_model.bin": ("vision_model.post_layernorm.weight",),
            "clip-ViT-B-32-multilingual-v1/model.safetensors": (
                "transformer.layer.1.attention.q_lin.weight",
                "transformer.layer.0.sa_layer_norm.bias",
                "embeddings.position_embeddings.weight",
            ),
            "clip-ViT-B-32-multilingual-v1/2_Dense/model.safetensors": ("linear.weight",),
        },
        {"clip-ViT-B-32-multilingual-v1/model.safetensors": ("embeddings.position_ids",)},
    ),
    "siglip": Layout(
        "google-siglip-so400m-patch16-256-i18n", siglip_layouts.siglip, SIGLIP, files=("characters.json",)
    ),
    "siglip 2": Layout("google-siglip2-so400m-patch16-384", siglip_layouts.siglip2, SIGLIP),
    "chinese_clip": Layout(
        "cn-clip-vit-b-16",
        chinese_clip_layouts.chinese_clip,
        {
            "model.safetensors": (
                "text_model.encoder.layer.1.attention.self.query.weight",
                "text_model.embeddings.word_embeddings.weight",
                "text_projection.weight",
                "vision_model.encoder.layers.0.layer_norm1.bias",
                "vision_model.embeddings.class_embedding",
                "visual_projection.weight",
            )
        },
        {"model.safetensors": POSITION_IDS},
    ),
    "tipsv2": Layout("tipsv2-b14", tipsv2_layouts.tipsv2, {"model.safetensors": tuple(TIPSV2)}, calls=TIPSV2),
    "blip2": Layout(
        "blip2-itm-vit-g",
        checkpoints.blip2,
        {
            "model.safetensors": (
                "vision_model.encoder.layers.1.self_attn.qkv.weight",
                "qformer.encoder.layer.0.crossattention.attention.key.weight",
                "qformer.encoder.layer.1.intermediate.dense.bias",
                "embeddings.word_embeddings.weight",
                "query_tokens",
                "text_projection.weight",
            )
        },
    ),
    "modernvbert": Layout(
        "ModernVBERT-modernvbert-embed",
        checkpoints.modernvbert,
        {
            "model.safetensors": (
                "model.text_model.layers.1.attn.Wqkv.weight",
                "model.text_model.embeddings.tok_embeddings.weight",
                "model.vision_model.vision_model.encoder.layers.1.self_attn.q_proj.bias",
                "model.vision_model.vision_model.embeddings.position_embedding.weight",
                "model.connector.modality_projection.weight",
            )
        },
        inputs={"text": ("input_ids",), "image": ("pixels", "input_ids")},
    ),
    "text of BERT": Layout("bge-small-en-v1.5", text_layouts.bge, BERT, inputs=TEXTS_ONLY),
    "text of BERT with XLM-RoBERTa's tokenizer": Layout(
        "multilingual-e5-small", text_layouts.multilingual_e5_small, BERT, inputs=TEXTS_ONLY
    ),
    "text of XLM-RoBERTa": Layout("multilingual-e5-base", text_layouts.multilingual_e5, BERT, inputs=TEXTS_ONLY),
    "text of ModernBERT": Layout(
        "gte-modernbert-base",
        text_layouts.modernbert,
        {"model.safetensors": ("layers.1.attn.Wqkv.weight", "final_norm.weight", "embeddings.tok_embeddings.weight")},
        inputs=TEXTS_ONLY,
    ),
    "text of GTE": Layout(
        "gte-multilingual-base",
        text_layouts.gte_multilingual,
        {
            "model.safetensors": (
                "new.embeddings.LayerNorm.bias",
                "new.encoder.layer.1.mlp.down_proj.weight",
                "new.embeddings.word_embeddings.weight",
            )
        },
        inputs=TEXTS_ONLY,
    ),
    **fused_layouts.LAYOUTS,
    "text of Qwen3": Layout("qwen3-embedding-0.6b", text_layouts.qwen3_embedding, DECODER, inputs=TEXTS_ONLY),
    "text of Mistral": Layout("e5-mistral-7b-instruct", text_layouts.e5_mistral, DECODER, inputs=TEXTS_ONLY),
    "text of Qwen2": Layout("gte-Qwen2-1.5B-instruct", text_layouts.gte_qwen2, DECODER, inputs=TEXTS_ONLY),
    "bge_m3": Layout(
        "bge-m3",
        bge_m3_layouts.bge_m3,
        {
            "pytorch_model.bin": BERT["model.safetensors"],
            "sparse_linear.pt": ("weight", "bias"),
            "colbert_linear.pt": ("weight", "bias"),
        },
        inputs=TEXTS_ONLY,
    ),
    "jina_v3": Layout(
        "jina-embeddings-v3",
        jina_v3_layouts.jina_v3,
        {
            "model.safetensors": (
                "roberta.encoder.layers.1.mixer.Wqkv.parametrizations.weight.original",
                "roberta.encoder.layers.1.mixer.Wqkv.parametrizations.weight.0.lora_B",
                "roberta.encoder.layers.0.mlp.fc1.bias",
                "roberta.embeddings.word_embeddings.parametrizations.weight.0.lora_A",
                "roberta.emb_ln.weight",
            )
        },
        inputs={"text": ("input_ids", "adapter")},
    ),
}
