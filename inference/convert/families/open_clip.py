"""Models of open_clip's catalogue: CLIP with its own text tower, or with one of the transformers library.

A local checkpoint (`--source DIR`) is a folder as open_clip writes it for the hub: `open_clip_config.json`, weights,
tokenizer files. Where the text tower is one of transformers, `DIR/<its name>/config.json` describes it, as in
`DIR/xlm-roberta-base/config.json`; without that its configuration comes from the hub.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from open_clip import tokenizer as tokenizers
from open_clip.hf_model import HFTextEncoder
from open_clip.model import CLIP, CustomTextCLIP
from open_clip.pretrained import download_pretrained_from_hf
from open_clip.transformer import text_global_pool

from inference import manifest
from inference.convert import checkpoint, checksums
from inference.convert.checkpoint import Checkpoint
from inference.convert.errors import ConversionError, SourceError
from inference.convert.model import (
    ImagePart,
    Model,
    Pixels,
    Scaling,
    TextPart,
    Tower,
    Vectors,
    open_picture,
    pixel_inputs,
    token_inputs,
)
from inference.convert.recipe import OpenClipSource, Recipe
from inference.convert.simple_tokenizer import tokenizer_json
from inference.manifest import ImageSpec, TextSpec

CLEANING: dict[Any, tuple[str, ...]] = {
    tokenizers._clean_lower: ("fix_text", "unescape_html", "collapse_whitespace", "lower"),
    tokenizers._clean_whitespace: ("fix_text", "unescape_html", "collapse_whitespace"),
}


@dataclass(frozen=True)
class Loaded:
    """The original's pieces."""

    model: CLIP | CustomTextCLIP
    preprocess: Any
    tokenizer: Any
    sources: tuple[manifest.Source, ...]


class CausalTextTower(torch.nn.Module):
    """open_clip's own text tower, int64 (rows, length ≤ context) to float32 (rows, dimensions).

    The original takes full context length only. Attention is causal and the vector is taken at the end-of-text token,
    so that the positions after the longest text can be left away.
    """

    def __init__(self, model: CLIP) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        model, length = self.model, input_ids.shape[1]
        states = model.token_embedding(input_ids) + model.positional_embedding[:length]
        states = model.transformer(states, attn_mask=model.attn_mask[:length, :length])
        states = model.ln_final(states)
        vectors: torch.Tensor = text_global_pool(states, input_ids, model.text_pool_type, model.text_eos_id)
        if isinstance(model.text_projection, torch.nn.Linear):
            vectors = model.text_projection(vectors)
        elif model.text_projection is not None:
            vectors = vectors @ model.text_projection
        return vectors


@dataclass(frozen=True)
class Texts:
    """The original: tokenizer and text tower, at full context length."""

    model: Any
    tokenizer: Any

    def tokens(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer([text])[0].tolist()
        if isinstance(self.tokenizer, tokenizers.HFTokenizer):
            padding = self.tokenizer.tokenizer.pad_token_id
            return ids[: max(index for index, each in enumerate(ids) if each != padding) + 1]
        # Padding is 0, which is a token too; the last end of text is where the text ends.
        end = self.tokenizer.eot_token_id
        return ids[: max(index for index, each in enumerate(ids) if each == end) + 1]

    def vectors(self, texts: Sequence[str]) -> Vectors:
        with torch.inference_mode():
            return np.asarray(self.model.encode_text(self.tokenizer(list(texts))), dtype=np.float32)


@dataclass(frozen=True)
class Images:
    """The original: its transforms and picture tower."""

    model: Any
    preprocess: Any
    spec: ImageSpec

    def pixels(self, data: bytes) -> Pixels:
        image = open_picture(data, self.spec)
        # The last two turn it into a tensor and scale it.
        for transform in self.preprocess.transforms[:-2]:
            image = transform(image)
        return np.asarray(image)

    def vectors(self, pictures: Sequence[bytes]) -> Vectors:
        rows = [self.preprocess(open_picture(data, self.spec)) for data in pictures]
        with torch.inference_mode():
            return np.asarray(self.model.encode_image(torch.stack(rows)), dtype=np.float32)


def load(recipe: Recipe, source: Path | None) -> Model:
    """Raises `ConversionError` when the checkpoint is of a kind that is not supported, or cannot be had."""
    wanted = recipe.sources["model"]
    if not isinstance(wanted, OpenClipSource):
        raise SourceError("the family open_clip takes an architecture and a pretrained name as its source")
    folder = checkpoint.local_folder(recipe, "model", source)
    try:
        loaded = _from_hub(wanted) if folder is None else _from_folder(wanted, folder)
    except ConversionError:
        raise
    except Exception as error:
        raise SourceError(f"{folder or wanted.name} cannot be read as a model of open_clip: {error}") from error
    loaded.model.eval().requires_grad_(False)
    image = image_part(loaded, recipe)
    with torch.inference_mode():
        dimensions = loaded.model.encode_image(image.tower.example[0]).shape[-1]
    return Model(loaded.sources, dimensions, text_part(loaded), image)


def _from_hub(wanted: OpenClipSource) -> Loaded:
    """By open_clip's catalogue, at the recipe's revisions."""
    entry = open_clip.get_pretrained_cfg(wanted.architecture, wanted.pretrained)
    repository, file = os.path.split(entry.get("hf_hub", ""))
    if not repository:
        raise SourceError(f"open_clip has no repository on the hub for {wanted.name}")
    checkpoint.warn_unpinned(repository, wanted.revision)

    def ask() -> str:
        file_path: str = download_pretrained_from_hf(repository, file or None, wanted.revision)
        return file_path

    weights = Path(checkpoint.asking_hub(repository, wanted.revision, ask))
    checksums.verify(weights.parent)
    # The hub's cache names a snapshot's folder after its commit.
    sources = [manifest.Source(f"{repository} (open_clip {wanted.name})", weights.parent.name)]
    text = open_clip.get_model_config(wanted.architecture)["text_cfg"]
    overrides: dict[str, Any] = {}
    tokenizer = open_clip.get_tokenizer(wanted.architecture) if "hf_tokenizer_name" not in text else None
    if tokenizer is None:
        found = text_repository(text["hf_model_name"], wanted.text_revision, checkpoint.TOKENIZERS)
        sources.append(found.source)
        overrides["text_cfg"] = text | {"hf_model_name": str(found.folder), "hf_model_pretrained": False}
        tokenizer = hf_tokenizer(text, found.folder)
    settings = {f"image_{name}": entry.get(name) for name in ("mean", "std", "interpolation", "resize_mode")}
    model, _, preprocess = open_clip.create_model_and_transforms(
        wanted.architecture, str(weights), **settings, **overrides
    )
    return Loaded(model, preprocess, tokenizer, tuple(sources))


def _from_folder(wanted: OpenClipSource, folder: Path) -> Loaded:
    name = f"local-dir:{folder}"
    sources = [manifest.Source(f"open_clip {wanted.name} (local folder)")]
    text = open_clip.get_model_config(name)["text_cfg"]
    overrides: dict[str, Any] = {}
    if "hf_model_name" in text:
        config = folder / text["hf_model_name"].split("/")[-1]
        if not config.is_dir():
            found = text_repository(text["hf_model_name"], wanted.text_revision)
            sources.append(found.source)
            config = found.folder
        overrides["text_cfg"] = text | {"hf_model_name": str(config), "hf_model_pretrained": False}
    model, preprocess = open_clip.create_model_from_pretrained(name, **overrides)
    return Loaded(model, preprocess, open_clip.get_tokenizer(name), tuple(sources))


def text_repository(repository: str, revision: str | None, files: Sequence[str] = ()) -> Checkpoint:
    """The text tower's own repository: its configuration and `files`, never its weights, which are in the model's."""
    checkpoint.warn_unpinned(repository, revision)
    folder = checkpoint.fetch(repository, revision, ["config.json", *files])
    return Checkpoint(folder, manifest.Source(f"{repository} (configuration and tokenizer)", folder.name))


def hf_tokenizer(text: dict[str, Any], folder: Path) -> Any:
    """As `open_clip.get_tokenizer` makes it, but from a folder, which has a revision."""
    return tokenizers.HFTokenizer(
        str(folder),
        context_length=text.get("context_length", tokenizers.DEFAULT_CONTEXT_LENGTH),
        tokenizer_mode=text.get("tokenizer_mode"),
        **text.get("tokenizer_kwargs", {}),
    )


def text_part(loaded: Loaded) -> TextPart:
    """Everything about texts. Raises `SourceError` for towers and tokenizers of other kinds."""
    model, tokenizer = loaded.model, loaded.tokenizer
    clean = CLEANING.get(tokenizer.clean_fn)
    if clean is None:
        raise SourceError("the tokenizer cleans texts in a way that is not supported")
    if isinstance(tokenizer, tokenizers.HFTokenizer):
        module, pad, file = hf_text_tower(model, tokenizer)
    else:
        module, pad, file = causal_text_tower(model, tokenizer), 0, tokenizer_json(tokenizer)
    spec = TextSpec(tower="text", max_length=tokenizer.context_length, pad_id=pad, clean=clean)  # type: ignore[arg-type]
    reference = Texts(model, tokenizer)
    example = torch.tensor([reference.tokens("a photo of a cat"), reference.tokens("a photo of a cat")])
    return TextPart(spec, Tower(module, token_inputs("input_ids"), (example,)), file, reference)


def causal_text_tower(model: Any, tokenizer: Any) -> torch.nn.Module:
    """The tower for open_clip's own text transformer."""
    plain = isinstance(model, CLIP) and model.attn_mask is not None and model.text_pool_type in ("argmax", "eos")
    if not plain or getattr(tokenizer, "reduction_fn", None) is not None:
        raise SourceError("only causal text towers that end at the end-of-text token are supported")
    return CausalTextTower(model)


def hf_text_tower(model: Any, tokenizer: Any) -> tuple[torch.nn.Module, int, str]:
    """The tower of the transformers library (it makes its mask from the padding), padding token, `tokenizer.json`."""
    text = getattr(model, "text", None)
    if not isinstance(text, HFTextEncoder) or tokenizer.strip_sep_token or tokenizer.tokenizer_mode:
        raise SourceError("this combination of text tower and tokenizer is not supported")
    return text, text.config.pad_token_id, tokenizer.tokenizer.backend_tokenizer.to_str()


def image_part(loaded: Loaded, recipe: Recipe) -> ImagePart:
    """Everything about pictures."""
    settings = loaded.model.visual.preprocess_cfg
    spec = image_spec(settings, recipe)
    tower = Tower(
        module=loaded.model.visual,
        inputs=pixel_inputs(spec.height, spec.width),
        example=(torch.zeros(2, 3, spec.height, spec.width),),
        scaling=Scaling(tuple(settings["mean"]), tuple(settings["std"])),
    )
    return ImagePart(spec, tower, Images(loaded.model, loaded.preprocess, spec))


def image_spec(settings: dict[str, Any], recipe: Recipe) -> ImageSpec:
    """The settings of open_clip's transforms. Raises `SourceError` for those that the server does not know."""
    size = settings["size"]
    height, width = (size, size) if isinstance(size, int) else size
    mode = settings.get("resize_mode") or "shortest"
    if mode not in ("shortest", "squash") or (mode == "shortest" and height != width):
        raise SourceError(f"the resize mode {mode!r} to {width}×{height} is not supported")
    return ImageSpec(
        tower="image",
        height=height,
        width=width,
        resize=mode,  # type: ignore[arg-type]
        interpolation="bilinear" if settings.get("interpolation") == "bilinear" else "bicubic",
        crop_rounding="half_even",
        convert_rgb="after_resize",
        transparency="drop",
        exif_orientation=recipe.exif_orientation,
    )
