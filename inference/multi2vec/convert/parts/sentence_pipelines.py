"""Folders of sentence-transformers: which modules make up a pipeline, how the library loads it, and whether it did.

`modules.json` names the modules and their folders (https://sbert.net/docs/sentence_transformer/usage/custom_models.html).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from transformers import AutoModel

from multi2vec.convert import checkpoint, sixteen_bits, weights
from multi2vec.convert.checkpoint import Checkpoint
from multi2vec.convert.errors import SourceError
from multi2vec.convert.recipe import HubSource, Recipe

MODULES = "modules.json"
SETTINGS = "config_sentence_transformers.json"
LAYOUT = (MODULES, SETTINGS)

# What may stand over an encoder's last states. A pipeline pools these itself, so that a checkpoint may have it or not.
HEADS = ("pooler.", "classifier.", "lm_head.", "cls.")


@dataclass(frozen=True)
class Module:
    """One module of a pipeline: its kind, which is the name of the library's class, and its folder."""

    kind: str
    folder: Path


def is_pipeline(folder: Path) -> bool:
    """Whether the folder is one of sentence-transformers."""
    return (folder / MODULES).is_file()


def find(recipe: Recipe, name: str, given: Path | None, *, or_plain: bool = False) -> Checkpoint:
    """The checkpoint of the recipe's source `name`; on the hub only the files that are needed of the folders that
    `modules.json` names. With `or_plain` it may be a folder without. Raises `SourceError`."""
    folder = checkpoint.local_folder(recipe, name, given)
    source = recipe.sources[name]
    if folder is not None or not isinstance(source, HubSource):
        return checkpoint.find(recipe, name, given)
    checkpoint.warn_unpinned(source.repository, source.revision)
    snapshot = checkpoint.fetch(source.repository, source.revision, LAYOUT)
    if is_pipeline(snapshot):
        return checkpoint.download(source.repository, snapshot.name, module_paths(snapshot))
    if not or_plain:
        raise SourceError(f"{source.repository} has no {MODULES}, so it is not a model of sentence-transformers")
    return checkpoint.download(source.repository, snapshot.name)


def module_paths(folder: Path) -> list[str]:
    """The folders of the pipeline's modules, "" for the root. Raises `SourceError` for one that lies elsewhere."""
    return [path for _, path in _modules(folder)]


def modules(folder: Path) -> list[Module]:
    """The pipeline's modules in order. Raises `SourceError`."""
    return [Module(kind, folder / path) for kind, path in _modules(folder)]


def _modules(folder: Path) -> list[tuple[str, str]]:
    found = [
        (str(each["type"]).rpartition(".")[2], str(each["path"]))
        for each in json.loads((folder / MODULES).read_text(encoding="utf-8"))
    ]
    for _, path in found:
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise SourceError(f"{MODULES} names {path}, which lies outside the checkpoint")
    return found


def settings(folder: Path) -> dict[str, Any]:
    """What `config_sentence_transformers.json` says; empty without one."""
    path = folder / SETTINGS
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def load(folder: Path) -> SentenceTransformer:
    """The pipeline as the library itself loads it, computing in float32. It adds no prompt of its own to texts."""
    pipeline = SentenceTransformer(
        str(folder),
        device="cpu",
        trust_remote_code=False,
        local_files_only=True,
        # A tensor of another shape is for the proof to report, with its name.
        model_kwargs={"dtype": encoder_dtype(folder), "ignore_mismatched_sizes": True},
    )
    pipeline.default_prompt_name = None
    loaded: SentenceTransformer = sixteen_bits.widened(pipeline.eval().requires_grad_(False))
    return loaded


def encoder_dtype(folder: Path) -> torch.dtype:
    """The dtype that the weights of a pipeline's encoder are kept in."""
    return sixteen_bits.stored_dtype(modules(folder)[0].folder)


def load_plain(folder: Path, pooling: str) -> SentenceTransformer:
    """An encoder's folder as the library makes a pipeline of it, with that pooling, computing in float32."""
    encoder = Transformer(
        str(folder),
        model_kwargs={
            "dtype": sixteen_bits.stored_dtype(folder),
            "local_files_only": True,
            "trust_remote_code": False,
        },
        config_kwargs={"local_files_only": True, "trust_remote_code": False},
        processor_kwargs={"local_files_only": True, "trust_remote_code": False},
        # Texts as they are, whatever template for conversations the tokenizer has.
        modality_config={"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
        module_output_name="token_embeddings",
    )
    pooled = Pooling(encoder.get_embedding_dimension(), pooling_mode=pooling)
    pipeline = SentenceTransformer(modules=[encoder, pooled], device="cpu")
    loaded: SentenceTransformer = sixteen_bits.widened(pipeline.eval().requires_grad_(False))
    return loaded


def load_encoder(folder: Path) -> Any:
    """The transformer that a folder holds, with exactly the checkpoint's weights but without a head; in 16 bits those
    that are stored so.

    Raises `SourceError`.
    """
    model, info = AutoModel.from_pretrained(
        folder,
        dtype=sixteen_bits.stored_dtype(folder),
        output_loading_info=True,
        ignore_mismatched_sizes=True,
        trust_remote_code=False,
        local_files_only=True,
    )
    weights.check_loading(_without_heads(info), str(folder))
    weights.check_architecture(model, str(folder))
    if hasattr(model, "pooler"):
        model.pooler = None
    # A decoder would keep what it has computed for the tokens that it writes next.
    model.config.use_cache = False
    return model.eval().requires_grad_(False)


def _without_heads(info: Mapping[str, Any]) -> dict[str, Any]:
    reported = ("missing_keys", "unexpected_keys")
    kept = {name: [each for each in info[name] if not each.startswith(HEADS)] for name in reported}
    return {**info, **kept}


def prove(module: Any, folder: Path) -> None:
    """Refuse a module of a pipeline (not its transformer) that does not have exactly the weights of its folder.

    Raises `SourceError`.
    """
    if needed := module.state_dict():
        found = state(folder)
        weights.check_state(found, needed, str(folder))
        weights.check_equal(needed, found, str(folder))


def state(folder: Path) -> dict[str, torch.Tensor]:
    """The tensors of a small module's folder."""
    safe = folder / "model.safetensors"
    if safe.is_file():
        return dict(load_file(safe))
    loaded: dict[str, torch.Tensor] = torch.load(folder / "pytorch_model.bin", map_location="cpu", weights_only=True)
    return loaded
