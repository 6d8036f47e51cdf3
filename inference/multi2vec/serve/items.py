"""Items of any modality in one list, as most APIs take them; and their vectors, in the order of the list."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from multi2vec.engine.errors import TooLarge, Unsupported
from multi2vec.engine.items import Item
from multi2vec.engine.preparers.videos import Video
from multi2vec.engine.rows import Row
from multi2vec.engine.video.sampling import Sampling
from multi2vec.engine.wanted import Embedded, PictureFile, Spent, Wanted
from multi2vec.manifest import Manifest
from multi2vec.serve.errors import BadRequest
from multi2vec.serve.fetching import VIDEO, Link
from multi2vec.serve.service import Service
from multi2vec.specs import Modality

PICTURE_URI = "data:image/"
URL_HEADS = ("http:", "https:")
# A server's own files are nobody's to read.
PATH_HEADS = ("file:", "ftp:")

# A content part's type: the key that its content stands under, and its modality. Of `image_url` and its like the
# content is an object with a `url`, or the URL itself.
PARTS: dict[str, tuple[str, Modality]] = {
    "text": ("text", "text"),
    "input_text": ("text", "text"),
    "image_url": ("image_url", "image"),
    "input_image": ("image_url", "image"),
    "image": ("image", "image"),
    "video_url": ("video_url", "video"),
    "video": ("video", "video"),
    "audio_url": ("audio_url", "audio"),
    "input_audio": ("input_audio", "audio"),
}


def text(content: Any) -> Item:
    """A text, or a list of its token ids."""
    return Item("text", tuple(content) if isinstance(content, list) else content)


def picture(content: str) -> Item:
    """A picture in base64, as a data URI, or at a URL. Raises `BadRequest` for a path."""
    if content.startswith(PATH_HEADS):
        raise BadRequest("a picture is a data URI or base64, not a path of this machine's")
    return Item("image", Link(content) if content.startswith(URL_HEADS) else content)


def video(content: str, sampling: Sampling | None = None) -> Item:
    """A video in base64, as a data URI, or at a URL, and which of its frames are wanted, if that is said. Raises
    `BadRequest` for a path."""
    if content.startswith(PATH_HEADS):
        raise BadRequest("a video is a data URI or base64, not a path of this machine's")
    return Item("video", Video(Link(content, VIDEO) if content.startswith(URL_HEADS) else content, sampling))


def string(content: str, manifest: Manifest) -> Item:
    """A text; or a picture, if it is a picture's data URI and the model has pictures."""
    is_picture = content.startswith(PICTURE_URI) and "image" in manifest.modalities
    return picture(content) if is_picture else text(content)


def parts(content: Any, manifest: Manifest, where: str) -> Item:
    """What the parts of one message's or input's content are together: a string, or a list of parts as chat APIs have
    them. Several texts are one, line by line. Raises `BadRequest`, and `Unsupported` for what is no single modality."""
    if isinstance(content, str):
        return text(content)
    if not isinstance(content, list):
        raise BadRequest(f"{where} is neither a text nor a list of parts")
    items = [_part(part, f"{where}[{index}]") for index, part in enumerate(content)]
    return together(items, manifest)


def conversation(messages: Any, manifest: Manifest, where: str) -> Item:
    """What the contents of a chat's messages are together. Raises as `parts` does."""
    if not isinstance(messages, list) or not messages:
        raise BadRequest(f"{where} is no conversation; it is a list of messages, each with a role and a content")
    contents = [_content(message, f"{where}[{index}]") for index, message in enumerate(messages)]
    return together([parts(content, manifest, place) for content, place in contents], manifest)


def together(items: Sequence[Item], manifest: Manifest) -> Item:
    """One item out of several that shall have one vector together; of none, the empty text. Raises `Unsupported` for
    a model that does not make one vector of these."""
    if len(items) == 1:
        return items[0]
    parts = [part for item in items for part in _parts(item)]
    if parts and "fused" in manifest.modalities and all(part.modality in manifest.modalities for part in parts):
        return Item("fused", tuple(parts))
    if all(item.modality == "text" for item in items):
        return text("\n".join(item.content for item in items))
    kinds = " and ".join(dict.fromkeys(item.modality for item in items))
    raise Unsupported(
        f"{manifest.tag} makes one vector of one text or of one picture, not of {len(items)} parts ({kinds}) together"
    )


# What is made of files, by modality.
FILES: dict[Modality, Callable[[str], Item]] = {"image": picture, "video": video}


def are_ids(given: Any) -> bool:
    """Whether it is a list of token ids, of one at least."""
    return isinstance(given, list) and bool(given) and all(type(each) is int for each in given)


def check_count(count: int, most: int) -> None:
    """Raise `TooLarge` for more than `most` items."""
    if count > most:
        raise TooLarge(f"the request has {count} items, more than {most}", limit="MAX_ITEMS")


async def embed(service: Service, items: Sequence[Item], wanted: Wanted = Wanted()) -> Embedded:
    """The items' vectors in their order. Raises what `Embedder.embed` does, `TooLarge` and `NotReady`."""
    check_count(len(items), service.settings.max_items)
    items = await _fetched(service, items)
    embedder = await service.embedder()
    places: dict[Modality, list[int]] = {}
    for index, item in enumerate(items):
        places.setdefault(item.modality, []).append(index)
    if len(places) < 2:
        modality = next(iter(places), service.manifest.modalities[0])
        return await embedder.embed(modality, [item.content for item in items], wanted)
    contents = {modality: [items[index].content for index in own] for modality, own in places.items()}
    return _merged(places, await embedder.embed_several(contents, wanted))


async def _fetched(service: Service, items: Sequence[Item]) -> Sequence[Item]:
    """The items, with files in place of links."""
    links = {link for item in items for part in _parts(item) if (link := _link(part.content)) is not None}
    if not links:
        return items
    files = await service.fetcher.fetch_all(links)
    return [_with_files(item, files) for item in items]


def _parts(item: Item) -> Sequence[Item]:
    return item.content if item.modality == "fused" else (item,)


def _with_files(item: Item, files: Mapping[Link, Any]) -> Item:
    if item.modality == "fused":
        return replace(item, content=tuple(_with_files(part, files) for part in item.content))
    link = _link(item.content)
    if link is None:
        return item
    file = files[link]
    return replace(item, content=replace(item.content, content=file) if isinstance(item.content, Video) else file)


def _link(content: Any) -> Link | None:
    """Where the file is to be fetched from, if it is."""
    found = content.content if isinstance(content, Video) else content
    return found if isinstance(found, Link) else None


def _merged(places: dict[Modality, list[int]], embedded: dict[Modality, Embedded]) -> Embedded:
    count = sum(map(len, places.values()))
    rows: list[Row] = [np.empty(0, dtype=np.float32)] * count
    tokens = [0] * count
    spent = [Spent(0.0, 0.0, 0.0)] * count
    files: list[PictureFile | None] = [None] * count
    for modality, own in places.items():
        part = embedded[modality]
        found = zip(own, part.rows, part.tokens, part.spent, part.files, strict=True)
        for index, row, number, times, file in found:
            rows[index], tokens[index], spent[index], files[index] = row, number, times, file
    return Embedded(rows, tokens, sum(each.truncated for each in embedded.values()), spent, files)


def _content(message: Any, where: str) -> tuple[Any, str]:
    if not isinstance(message, dict) or "content" not in message:
        raise BadRequest(f"{where} is no message; it has a role and a content")
    return message["content"], f"{where}.content"


def _part(part: Any, where: str) -> Item:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind not in PARTS:
        raise BadRequest(f"{where} is no content part; its type can be {', '.join(PARTS)}")
    key, modality = PARTS[kind]
    content = part.get(key)
    if isinstance(content, dict):
        content = content.get("url", content.get("data"))
    if not isinstance(content, str):
        raise BadRequest(f"{where}.{key} is no string")
    return FILES[modality](content) if modality in FILES else Item(modality, content)
