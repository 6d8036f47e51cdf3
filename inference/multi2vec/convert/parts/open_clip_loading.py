"""Finds a model of open_clip's catalogue and loads it twice: strictly for export, and by open_clip for reference."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
from open_clip import factory
from open_clip import tokenizer as tokenizers
from open_clip.model import CLIP, CustomTextCLIP, convert_to_custom_text_state_dict
from open_clip.pretrained import download_pretrained_from_hf

from multi2vec import manifest
from multi2vec.convert import checkpoint, checksums, weights
from multi2vec.convert.checkpoint import Checkpoint
from multi2vec.convert.errors import SourceError
from multi2vec.convert.recipe import OpenClipSource

# open_clip takes it out of a checkpoint itself: transformers had it as a weight once.
IGNORABLE = "text.transformer.embeddings.position_ids"


@dataclass(frozen=True)
class Loaded:
    """`model` is exported; `original` and `preprocess` are what open_clip itself makes of the same checkpoint."""

    model: CLIP | CustomTextCLIP
    original: CLIP | CustomTextCLIP
    preprocess: Any
    tokenizer: Any
    sources: tuple[manifest.Source, ...]


def from_hub(wanted: OpenClipSource) -> Loaded:
    """By open_clip's catalogue, at the recipe's revisions."""
    entry = open_clip.get_pretrained_cfg(wanted.architecture, wanted.pretrained)
    repository, file = os.path.split(entry.get("hf_hub", ""))
    if not repository:
        raise SourceError(f"open_clip has no repository on the hub for {wanted.name}")
    checkpoint.warn_unpinned(repository, wanted.revision)

    def ask() -> str:
        file_path: str = download_pretrained_from_hf(repository, file or None, wanted.revision)
        return file_path

    path = Path(checkpoint.asking_hub(repository, wanted.revision, ask))
    checksums.verify(path.parent)
    # The hub's cache names a snapshot's folder after its commit.
    sources = [manifest.Source(f"{repository} (open_clip {wanted.name})", path.parent.name)]
    tokenizer, overrides, text_sources = text_from_hub(wanted, repository, path.parent.name)
    sources += text_sources
    # From a file, open_clip knows nothing of the entry: neither how pictures are prepared nor the activation.
    overrides["force_quick_gelu"] = uses_quick_gelu(wanted)
    settings = {f"image_{name}": entry.get(name) for name in ("mean", "std", "interpolation", "resize_mode")}
    model = load_strictly(wanted.architecture, path, overrides)
    original, _, preprocess = open_clip.create_model_and_transforms(
        wanted.architecture, str(path), **settings, **overrides
    )
    return Loaded(model, original.eval().requires_grad_(False), preprocess, tokenizer, tuple(sources))


def text_from_hub(
    wanted: OpenClipSource, repository: str, commit: str
) -> tuple[Any, dict[str, Any], list[manifest.Source]]:
    """The tokenizer, what the model's creation must be told of the text tower, and where else than the model's
    `repository` at that commit it came from."""
    text = open_clip.get_model_config(wanted.architecture)["text_cfg"]
    described = text.get("hf_model_name") or text.get("hf_tokenizer_name")
    if not described:
        return open_clip.get_tokenizer(wanted.architecture), {}, []
    sources: list[manifest.Source] = []
    if described == repository:
        folder = checkpoint.fetch(repository, commit, ["config.json", *checkpoint.TOKENIZERS])
    else:
        found = text_repository(described, wanted.text_revision, checkpoint.TOKENIZERS)
        folder = found.folder
        sources.append(found.source)
    overrides: dict[str, Any] = {}
    if "hf_model_name" in text:
        overrides["text_cfg"] = text | {"hf_model_name": str(folder), "hf_model_pretrained": False}
    return hf_tokenizer(text, folder), overrides, sources


def from_folder(wanted: OpenClipSource, folder: Path) -> Loaded:
    """From a folder as open_clip writes it for the hub."""
    name = f"local-dir:{folder}"
    sources = [manifest.Source(f"open_clip {wanted.name} (local folder)")]
    config = open_clip.get_model_config(name)
    check_activation(wanted, config, folder)
    text = config["text_cfg"]
    overrides: dict[str, Any] = {}
    if "hf_model_name" in text:
        described = folder / text["hf_model_name"].split("/")[-1]
        if not described.is_dir():
            found = text_repository(text["hf_model_name"], wanted.text_revision)
            sources.append(found.source)
            described = found.folder
        overrides["text_cfg"] = text | {"hf_model_name": str(described), "hf_model_pretrained": False}
    path = factory._find_checkpoint_in_dir(folder)
    if path is None:
        raise SourceError(f"{folder} cannot be read as a model of open_clip: it has no weights")
    model = load_strictly(name, Path(path), overrides)
    original, preprocess = open_clip.create_model_from_pretrained(name, **overrides)
    original.eval().requires_grad_(False)
    return Loaded(model, original, preprocess, open_clip.get_tokenizer(name), tuple(sources))


def uses_quick_gelu(wanted: OpenClipSource) -> bool:
    """Whether the weights were trained with QuickGELU: the catalogue's entry says so, or the architecture."""
    entry = open_clip.get_pretrained_cfg(wanted.architecture, wanted.pretrained)
    architecture = open_clip.get_model_config(wanted.architecture) or {}
    return bool(entry.get("quick_gelu") or architecture.get("quick_gelu"))


def check_activation(wanted: OpenClipSource, config: dict[str, Any], folder: Path) -> None:
    """Refuse a folder whose activation is not the catalogue's for that name: the vectors would be wrong, and no tensor
    tells. Raises `SourceError`."""
    if not open_clip.get_pretrained_cfg(wanted.architecture, wanted.pretrained):
        return
    stated, expected = bool(config.get("quick_gelu")), uses_quick_gelu(wanted)
    if stated != expected:
        names = {True: "QuickGELU", False: "GELU"}
        raise SourceError(
            f"{folder}/open_clip_config.json says {names[stated]}, but {wanted.name} was trained with "
            f"{names[expected]} (quick_gelu)"
        )


def load_strictly(name: str, path: Path, overrides: dict[str, Any]) -> CLIP | CustomTextCLIP:
    """The model, with exactly the checkpoint's tensors: open_clip resizes others.

    Raises `SourceError`.
    """
    model = open_clip.create_model(name, load_weights=False, pretrained_text=False, **overrides)
    state = factory.load_state_dict(str(path))
    state = factory.convert_state_dict(model, state)
    # Checkpoints of the time when the text tower had no module of its own.
    if "positional_embedding" in state and not hasattr(model, "positional_embedding"):
        state = convert_to_custom_text_state_dict(state)
    state = {key: tensor for key, tensor in state.items() if key != IGNORABLE}
    weights.check_state(state, model.state_dict(), str(path))
    factory.load_checkpoint(model, str(path), strict=True)
    return model.eval().requires_grad_(False)


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
