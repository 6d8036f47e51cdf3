"""Models of open_clip's catalogue: CLIP with open_clip's or timm's picture towers, and with text towers of open_clip's
own or of the transformers library.

A local checkpoint (`--source DIR`) is a folder as open_clip writes it for the hub: `open_clip_config.json`, weights,
tokenizer files. Where the text tower is one of transformers, `DIR/<its name>/config.json` describes it, as in
`DIR/xlm-roberta-base/config.json`; without that its configuration comes from the hub.

`open_clip_loading.py` finds and loads it, `open_clip_texts.py` knows the kinds of text towers; here it becomes towers
and references. Picture towers that were trained in several branches (MobileCLIP) are folded; the reference is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from multi2vec.convert import checkpoint, options, references
from multi2vec.convert.errors import SourceError, reading
from multi2vec.convert.model import Model, Part, Scaling, Tower, dense, measured_dimensions, pixel_inputs
from multi2vec.convert.parts import open_clip_loading
from multi2vec.convert.parts.open_clip_loading import Loaded
from multi2vec.convert.parts.open_clip_texts import text_part
from multi2vec.convert.parts.reparameterised import reparameterised
from multi2vec.convert.recipe import OpenClipSource, Recipe
from multi2vec.engine.rows import Array, Row
from multi2vec.specs import PictureSpec


@dataclass(frozen=True)
class Pictures:
    """The original: its transforms and picture tower."""

    model: Any
    preprocess: Any
    open: references.Opener

    def prepare(self, item: bytes) -> Mapping[str, Array]:
        picture = self.open(item)
        # The last two turn it into a tensor and scale it.
        for transform in self.preprocess.transforms[:-2]:
            picture = transform(picture)
        return {"pixels": np.asarray(picture)}

    def rows(self, items: Sequence[bytes]) -> Mapping[str, Sequence[Row]]:
        rows = [self.preprocess(self.open(item)) for item in items]
        with torch.inference_mode():
            vectors = self.model.encode_image(torch.stack(rows))
        return references.dense_rows(vectors)


def load(recipe: Recipe, source: Path | None) -> Model:
    """Raises `ConversionError` when the checkpoint is of a kind that is not supported, or cannot be had."""
    wanted = recipe.sources["model"]
    if not isinstance(wanted, OpenClipSource):
        raise SourceError("the family open_clip takes an architecture and a pretrained name as its source")
    folder = checkpoint.local_folder(recipe, "model", source)
    with reading(folder or wanted.name, "a model of open_clip"):
        loaded = open_clip_loading.from_hub(wanted) if folder is None else open_clip_loading.from_folder(wanted, folder)
        parts = {"text": text_part(loaded, recipe), "image": picture_part(loaded, recipe)}
    return Model(loaded.sources, parts)


def picture_part(loaded: Loaded, recipe: Recipe) -> Part:
    """Everything about pictures."""
    settings = loaded.original.visual.preprocess_cfg
    own = own_picture_spec(settings)
    spec = options.picture_spec(own, recipe)
    module, example = reparameterised(loaded.model.visual), torch.zeros(2, 3, spec.height, spec.width)
    tower = Tower(
        module=module,
        inputs=pixel_inputs(spec.height, spec.width),
        example=(example,),
        outputs=dense(measured_dimensions(module, [example])),
        scaling=Scaling(tuple(settings["mean"]), tuple(settings["std"])),
    )
    return Part(spec, tower, Pictures(loaded.original, loaded.preprocess, references.opener(own, recipe)))


def own_picture_spec(settings: dict[str, Any]) -> PictureSpec:
    """The settings of open_clip's transforms. Raises `SourceError` for those that the engine does not know."""
    size = settings["size"]
    height, width = (size, size) if isinstance(size, int) else size
    mode = settings.get("resize_mode") or "shortest"
    if mode not in ("shortest", "squash") or (mode == "shortest" and height != width):
        raise SourceError(f"the resize mode {mode!r} to {width}×{height} is not supported")
    return PictureSpec(
        tower="image",
        height=height,
        width=width,
        resize=mode,  # type: ignore[arg-type]
        interpolation="bilinear" if settings.get("interpolation") == "bilinear" else "bicubic",
        crop_rounding="half_even",
        convert_rgb="after_resize",
        transparency="drop",
    )
