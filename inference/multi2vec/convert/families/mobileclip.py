"""MobileCLIP-S0 as its authors published it: apple/MobileCLIP-S0, `mobileclip_s0.pt` (arXiv 2311.17049).

The larger ones are in open_clip's catalogue, this one is not: its text encoder is in no package, and written here
(`mobileclip_text.py`). The picture encoder is timm's `fastvit_mci0`.

A folder holds one `mobileclip_*.pt`. The sizes are the published ones of that name; a `.json` beside it of the same
name, in the form of the original's `mobileclip/configs/mobileclip_s0.json`, states others.

References: pictures go through timm, loaded by its own loader with its own renaming of the tensors, and not folded. For
texts there is no other library to compare with. Their reference is the module of this package, loaded a second time and
not folded; so parity says that folding and export change nothing.

What this package computes was compared with the original once (https://github.com/apple/ml-mobileclip at
4144bb1f081a6bcb9bc9e6552dee3b29a9ef9855, float32, real size, one random state): of 62 texts and 38 pictures token ids
and pixels were equal, and vectors differed by at most 9e-7 (texts) and 1.4e-6 (pictures) of their length, folded
already, which is a cosine of 1.0000000 each.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import timm
import torch
from timm.models import load_checkpoint
from timm.models.fastvit import checkpoint_filter_fn
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize, ToTensor

from multi2vec import manifest
from multi2vec.convert import checkpoint, options, references, weights
from multi2vec.convert.checkpoint import Checkpoint
from multi2vec.convert.errors import RecipeError, SourceError, reading
from multi2vec.convert.model import Model, Part, Scaling, Tower, dense, pixel_inputs
from multi2vec.convert.parts import mobileclip_picture, open_clip_texts
from multi2vec.convert.parts.mobileclip_text import Sizes, TextEncoder
from multi2vec.convert.parts.reparameterised import reparameterised
from multi2vec.convert.parts.simple_tokenizer import tokenizer_json
from multi2vec.convert.recipe import HubSource, Recipe
from multi2vec.engine.rows import Array, Row
from multi2vec.specs import PictureSpec, TensorSpec, TextSpec

WEIGHTS = "mobileclip_*.pt"
TEXT, PICTURE = "text_encoder.", "image_encoder.model."


@dataclass(frozen=True)
class Configuration:
    """What a model is made of; the defaults are MobileCLIP-S0's. Pictures are `edge` pixels high and wide."""

    edge: int = 256
    picture_encoder: str = "mci0"
    text: Sizes = field(default_factory=Sizes)


PUBLISHED = {"mobileclip_s0": Configuration()}


class Original(torch.nn.Module):
    """Both encoders as they were trained."""

    def __init__(self, configuration: Configuration) -> None:
        super().__init__()
        self.text = TextEncoder(configuration.text)
        self.picture = timm.create_model(
            f"fastvit_{configuration.picture_encoder}", num_classes=configuration.text.dimensions, global_pool="avg"
        )

    def encode_text(self, input_ids: torch.Tensor) -> Any:
        """int64 (rows, context) to float32 (rows, dimensions)."""
        return self.text(input_ids)


@dataclass(frozen=True)
class Pictures:
    """The original: its transforms, and its picture encoder. Its examples open pictures with `convert("RGB")`."""

    model: Any
    transforms: Any
    open: references.Opener

    def prepare(self, item: bytes) -> Mapping[str, Array]:
        picture = self.open(item).convert("RGB")
        for transform in self.transforms.transforms[:-1]:
            picture = transform(picture)
        return {"pixels": np.asarray(picture)}

    def rows(self, items: Sequence[bytes]) -> Mapping[str, Sequence[Row]]:
        pixels = torch.stack([self.transforms(self.open(item).convert("RGB")) for item in items])
        with torch.inference_mode():
            return references.dense_rows(self.model.picture(pixels))


def load(recipe: Recipe, source: Path | None) -> Model:
    """Raises `ConversionError` when the checkpoint is not a MobileCLIP of this kind, not complete, or cannot be had."""
    found = find(recipe, source)
    with reading(found.folder, "a MobileCLIP"):
        path = weights_file(found.folder)
        configuration = configuration_of(path)
        model, original = load_strictly(path, configuration), load_again(path, configuration)
        parts = {
            "text": text_part(model, original, configuration, recipe),
            "image": picture_part(model, original, configuration, recipe),
        }
    return Model((found.source,), parts)


def find(recipe: Recipe, given: Path | None) -> Checkpoint:
    """The folder with the weights, local or downloaded."""
    wanted = recipe.sources["model"]
    if checkpoint.local_folder(recipe, "model", given) is not None or not isinstance(wanted, HubSource):
        return checkpoint.find(recipe, "model", given)
    checkpoint.warn_unpinned(wanted.repository, wanted.revision)
    folder = checkpoint.fetch(wanted.repository, wanted.revision, [WEIGHTS])
    return Checkpoint(folder, manifest.Source(wanted.repository, folder.name))


def weights_file(folder: Path) -> Path:
    """The only file of weights. Raises `SourceError`."""
    found = sorted(folder.glob(WEIGHTS))
    if len(found) != 1:
        raise SourceError(f"{folder} cannot be read as a MobileCLIP: it has {len(found)} files {WEIGHTS}, not one")
    return found[0]


def configuration_of(path: Path) -> Configuration:
    """The sizes of the model whose weights lie at `path`. Raises `SourceError`."""
    beside = path.with_suffix(".json")
    if not beside.is_file():
        if path.stem not in PUBLISHED:
            known = ", ".join(PUBLISHED)
            raise SourceError(f"{path}: there are sizes of {known} only; state others in {beside.name}")
        return PUBLISHED[path.stem]
    stated = json.loads(beside.read_text(encoding="utf-8"))
    text, picture = stated["text_cfg"], stated["image_cfg"]
    if text["model_name"] != "mct" or text["causal_masking"]:
        raise SourceError(f"{beside} describes another kind of text encoder; open_clip's catalogue may have the model")
    sizes = Sizes(
        vocabulary=text["vocab_size"],
        context=text["context_length"],
        width=text["dim"],
        heads=text["n_heads_per_layer"],
        layers=text["n_transformer_layers"],
        widening=text["ffn_multiplier_per_layer"],
        dimensions=stated["embed_dim"],
    )
    return Configuration(picture["image_size"], picture["model_name"], sizes)


def load_strictly(path: Path, configuration: Configuration) -> Original:
    """The model with exactly the checkpoint's tensors. Raises `SourceError`."""
    model = Original(configuration)
    names = mobileclip_picture.original_names(model.picture.state_dict())
    needed = {TEXT + name: tensor for name, tensor in model.text.state_dict().items()}
    needed |= {PICTURE + names[name]: tensor for name, tensor in mobileclip_picture.stored(model.picture).items()}
    found = torch.load(path, map_location="cpu", weights_only=True)
    weights.check_state(found, needed | {"logit_scale": torch.zeros(())}, str(path))
    model.text.load_state_dict({name: found[TEXT + name] for name in model.text.state_dict()})
    picture = {name: found[PICTURE + original] for name, original in names.items()}
    model.picture.load_state_dict(mobileclip_picture.loadable(picture))
    return model.eval().requires_grad_(False)


def load_again(path: Path, configuration: Configuration) -> Original:
    """For reference: the picture encoder by timm's own loader and renaming."""
    original = Original(configuration)
    load_checkpoint(original.picture, str(path), filter_fn=checkpoint_filter_fn, weights_only=True)
    found = torch.load(path, map_location="cpu", weights_only=True)
    original.text.load_state_dict(
        {name.removeprefix(TEXT): tensor for name, tensor in found.items() if name.startswith(TEXT)}
    )
    return original.eval().requires_grad_(False)


def text_part(model: Original, original: Original, configuration: Configuration, recipe: Recipe) -> Part:
    """Everything about texts. The original takes the tokenizer from open_clip, by this name."""
    tokenizer = open_clip.get_tokenizer("ViT-B-16", context_length=configuration.text.context)
    own = TextSpec(
        tower="text",
        max_length=tokenizer.context_length,
        padding="fixed",
        clean=open_clip_texts.CLEANING[tokenizer.clean_fn],  # type: ignore[arg-type]
    )
    spec = options.text_spec(own, recipe)
    if spec.max_length != own.max_length:
        raise RecipeError(
            f"{recipe.tag}: texts of this model always have {own.max_length} tokens; leave max_length out"
        )
    tower = Tower(
        module=reparameterised(model.text),
        inputs=(TensorSpec("input_ids", "i64", (None, spec.max_length)),),
        example=(tokenizer(["a photo of a cat"] * 2),),
        outputs=dense(configuration.text.dimensions),
    )
    reference = open_clip_texts.Texts(original, tokenizer, spec.max_length)
    return Part(spec, tower, reference, {spec.tokenizer: tokenizer_json(tokenizer)})


def picture_part(model: Original, original: Original, configuration: Configuration, recipe: Recipe) -> Part:
    """Everything about pictures: bilinear, centre crop, numbers from 0 to 1 without mean and deviation."""
    edge = configuration.edge
    own = PictureSpec(
        tower="image",
        height=edge,
        width=edge,
        resize="shortest",
        interpolation="bilinear",
        crop_rounding="half_even",
        convert_rgb="before_resize",
        transparency="drop",
    )
    spec = options.picture_spec(own, recipe)
    tower = Tower(
        module=reparameterised(model.picture),
        inputs=pixel_inputs(edge, edge),
        example=(torch.zeros(2, 3, edge, edge),),
        outputs=dense(configuration.text.dimensions),
        scaling=Scaling((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    )
    transforms = Compose([Resize(edge, InterpolationMode.BILINEAR), CenterCrop(edge), ToTensor()])
    return Part(spec, tower, Pictures(original, transforms, references.opener(own, recipe)))
