"""Finds a checkpoint: in a folder, or on the model hub, and there only the files that are needed.

huggingface_hub's own settings (`HF_ENDPOINT`, `HF_TOKEN`, `HF_HUB_OFFLINE`, `HF_HOME`) decide where it looks. Weights
are taken as safetensors where the repository has them, else as a torch file, which is loaded without running code.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

from multi2vec import manifest, places
from multi2vec.convert import checksums
from multi2vec.convert.errors import SourceError
from multi2vec.convert.recipe import FolderSource, HubSource, Recipe

logger = logging.getLogger(__name__)

SAFE_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "model-*-of-*.safetensors")
TORCH_WEIGHTS = ("pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-*-of-*.bin")
CONFIGS = ("config.json", "preprocessor_config.json", "processor_config.json", "sentence_bert_config.json")
TOKENIZERS = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "sentencepiece.bpe.model",
    "spiece.model",
    "tokenizer.model",
)

Result = TypeVar("Result")


@dataclass(frozen=True)
class Checkpoint:
    """A folder that holds a checkpoint, and where it came from."""

    folder: Path
    source: manifest.Source


def beside_recipe(tag: str) -> Path | None:
    """A checkpoint beside the tag's recipe, in `images/<tag>/checkpoint`: so it gets into an image's build."""
    folder = places.IMAGES / tag / "checkpoint"
    return folder if folder.is_dir() else None


def local_folder(recipe: Recipe, name: str, given: Path | None) -> Path | None:
    """The folder of the recipe's source `name`, or None if it is on the hub.

    `given` is the folder that the user named; of several sources each has a folder of its own in there, called as its
    repository without the owner.
    """
    source = recipe.sources[name]
    if given is not None:
        folder = given if len(recipe.sources) == 1 else given / source.name.split("/")[-1]
    elif isinstance(source, FolderSource):
        folder = places.root() / source.path
    else:
        return None
    if not folder.is_dir():
        raise SourceError(f"the checkpoint's folder {folder} is not there")
    return folder


def find(recipe: Recipe, name: str, given: Path | None, folders: Sequence[str] = ("",)) -> Checkpoint:
    """The checkpoint of the recipe's source `name`: a local folder, or downloaded.

    `folders` are those inside the repository that hold a model of their own. Raises `SourceError`.
    """
    source = recipe.sources[name]
    folder = local_folder(recipe, name, given)
    if folder is not None:
        label = source.name if isinstance(source, FolderSource) else f"{source.name} (local folder)"
        return Checkpoint(folder, manifest.Source(label))
    if not isinstance(source, HubSource):
        raise SourceError(f"the family {recipe.family!r} takes a repository as its source")
    return download(source.repository, source.revision, folders)


def download(repository: str, revision: str | None, folders: Sequence[str] = ("",)) -> Checkpoint:
    """The files of a model from the hub, weights included. Raises `SourceError`."""
    warn_unpinned(repository, revision)
    snapshot = fetch(repository, revision, _inside(folders, (*CONFIGS, *TOKENIZERS, *SAFE_WEIGHTS)))
    # The branch may move between two calls; the commit does not.
    commit = snapshot.name
    bare = [each for each in folders if not list((snapshot / each).glob("*.safetensors"))]
    if bare:
        fetch(repository, commit, _inside(bare, TORCH_WEIGHTS))
    return Checkpoint(snapshot, manifest.Source(repository, commit))


def fetch(repository: str, revision: str | None, patterns: Sequence[str]) -> Path:
    """The repository's files of those names (shell patterns), as a folder named after the commit; each file's content
    is what the hub says."""

    def ask() -> str:
        return snapshot_download(repository, revision=revision, allow_patterns=list(patterns))

    snapshot = Path(asking_hub(repository, revision, ask))
    checksums.verify(snapshot)
    return snapshot


def asking_hub(repository: str, revision: str | None, ask: Callable[[], Result]) -> Result:
    """`ask()`, its failures as a `SourceError` that says what was wanted and what can be done."""
    wanted = f"{repository} at revision {revision}" if revision else repository
    try:
        return ask()
    except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        raise SourceError(
            f"{wanted} is neither in the local cache nor can it be downloaded ({_line(error)}); "
            "use --source DIR for a checkpoint that you have"
        ) from None
    except HfHubHTTPError as error:
        raise SourceError(f"the hub did not give {wanted}: {_line(error)}") from None
    except Exception as error:
        # Proxies, broken connections, a full disk, a name that can be none: all of it is between here and the hub.
        raise SourceError(f"{wanted} cannot be downloaded: {_line(error)}") from error


def warn_unpinned(repository: str, revision: str | None) -> None:
    """Say so when what is downloaded may be another model tomorrow."""
    if revision is None:
        logger.warning("%s has no pinned revision; taking its main branch as it is now", repository)


def _inside(folders: Sequence[str], names: Sequence[str]) -> list[str]:
    return [f"{folder}/{name}" if folder else name for folder in folders for name in names]


def _line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
