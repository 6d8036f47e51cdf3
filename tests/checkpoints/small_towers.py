"""Small models of timm in place of those that open_clip's catalogue names, which cannot be made smaller from outside.

Importing this registers them with timm, by the names of the functions.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from timm.layers import LayerNorm2d
from timm.models import build_model_with_cfg, register_model
from timm.models.eva import Eva
from timm.models.fastvit import FastVit, RepConditionalPosEnc
from timm.models.vision_transformer import VisionTransformer
from timm.models.vision_transformer_hybrid import ConvStem, HybridEmbed

EDGE = 48
MCI_EDGE = 64
SIZES = {"embed_dim": 64, "depth": 2, "num_heads": 2}


@register_model
def fastvit_mci_small(pretrained: bool = False, **changes: Any) -> Any:
    """As `fastvit_mci0`: every kind of block, once; 64 px."""
    sizes = {
        "layers": (1, 1, 1, 1),
        "embed_dims": (16, 32, 64, 128),
        "mlp_ratios": (2, 2, 2, 2),
        "se_downsamples": (False, False, True, True),
        "pos_embs": (None, None, None, partial(RepConditionalPosEnc, spatial_shape=(7, 7))),
        "token_mixers": ("repmixer", "repmixer", "repmixer", "attention"),
        "lkc_use_act": True,
    }
    return build_model_with_cfg(FastVit, "fastvit_mci_small", pretrained, **{**sizes, **changes})


@register_model
def fastvit_mci3_small(pretrained: bool = False, **changes: Any) -> Any:
    """As `fastvit_mci3` of the second MobileCLIP: a fifth stage, layer norms, a stem of fewer branches; 128 px."""
    positions = partial(RepConditionalPosEnc, spatial_shape=(7, 7))
    sizes = {
        "layers": (1, 1, 1, 1, 1),
        "embed_dims": (16, 32, 64, 64, 128),
        "mlp_ratios": (2, 2, 2, 2, 2),
        "se_downsamples": (False,) * 5,
        "downsamples": (False, True, True, True, True),
        "pos_embs": (None, None, None, positions, positions),
        "token_mixers": ("repmixer", "repmixer", "repmixer", "attention", "attention"),
        "lkc_use_act": True,
        "norm_layer": partial(LayerNorm2d, eps=1e-5),
        "stem_use_scale_branch": False,
    }
    return build_model_with_cfg(FastVit, "fastvit_mci3_small", pretrained, **{**sizes, **changes})


@register_model
def vit_mci_small(pretrained: bool = False, **changes: Any) -> Any:
    """As `vit_base_mci_224`: a ViT behind convolutions; 48 px."""
    stem = ConvStem(channels=(16, 16, 64), stride=(4, 2, 2), kernel_size=(4, 2, 2), padding=0, act_layer=torch.nn.GELU)
    embedding = partial(HybridEmbed, backbone=stem, proj=False)
    sizes = {"embed_layer": embedding, "patch_size": 1, "no_embed_class": True, "img_size": EDGE, **SIZES}
    return build_model_with_cfg(VisionTransformer, "vit_mci_small", pretrained, **{**sizes, **changes})


@register_model
def vit_siglip_small(pretrained: bool = False, **changes: Any) -> Any:
    """As `vit_base_patch16_siglip_224`, 48 px."""
    sizes = {"patch_size": 16, "class_token": False, "global_pool": "map", "img_size": EDGE, **SIZES}
    return build_model_with_cfg(VisionTransformer, "vit_siglip_small", pretrained, **{**sizes, **changes})


@register_model
def vit_pe_core_small(pretrained: bool = False, **changes: Any) -> Any:
    """As `vit_pe_core_base_patch16_224`, 48 px."""
    sizes = {
        "patch_size": 16,
        "img_size": EDGE,
        "mlp_ratio": 4.0,
        "global_pool": "map",
        "attn_type": "rope",
        "use_pre_transformer_norm": True,
        "use_rot_pos_emb": True,
        "ref_feat_shape": (14, 14),
        "rope_grid_offset": 1.0,
        "rope_grid_indexing": "xy",
        "attn_pool_num_heads": 2,
        "attn_pool_mlp_ratio": 4.0,
        "norm_layer": partial(torch.nn.LayerNorm, eps=1e-5),
        **SIZES,
    }
    return build_model_with_cfg(Eva, "vit_pe_core_small", pretrained, **{**sizes, **changes})
