"""Settings, all of them environment variables.

The README's table is made from here: `python -m multi2vec.serve.settings`.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from multi2vec import places
from multi2vec.engine.video.limits import VideoLimits
from multi2vec.engine.work import Limits

MIB = 1024 * 1024

# A name, all names below one, or any; and a port.
HOST = re.compile(r"(\*|(\*\.)?[A-Za-z0-9_.-]+)(:\d{1,5})?")


class Settings(BaseSettings):
    """Everything that can be set; no setting is needed."""

    model_config = SettingsConfigDict(env_ignore_empty=True, frozen=True)

    host: str = Field(default="0.0.0.0", description="Address to listen on")
    port: int = Field(default=8080, ge=0, le=65535, description="Port to listen on")
    url_prefix: str = Field(
        default="", description="Path prefix under which everything is served as well, such as `/clip`"
    )

    api_keys: str = Field(
        default="",
        repr=False,
        description="Keys of which each request has to show one (`Authorization: Bearer KEY`), separated by commas; "
        "none: everybody may ask",
    )
    api_keys_file: Path | None = Field(
        default=None, description="A file with such keys, one a line; it is read again when it changes"
    )

    tag: str = Field(
        default=places.DEMO, description="Which converted model to serve: `demo`, or a folder under `models/`"
    )
    model_dir: Path | None = Field(default=None, description="The model folder itself; wins over `TAG`")
    verify_checksums: bool = Field(
        default=True, description="Compare every file with the manifest's sha256 at start (about 1 s per GB)"
    )
    normalise: bool | None = Field(
        default=None, description="Vectors at unit length; default: as the model's recipe says (true for all of ours)"
    )
    exif_orientation: bool | None = Field(
        default=None,
        description="Turn pictures as their EXIF data says; default: as the model's recipe says (none of ours does)",
    )

    fused_picture_pixels: int | None = Field(
        default=None,
        ge=1,
        description="Most pixels that are left of a picture where texts and pictures have one vector (`fused`): fewer "
        "take less memory and time, and give other vectors; default: as many as the model's authors take, and never "
        "more",
    )

    strict_model_name: bool = Field(
        default=False, description="Refuse requests that name another model; else the name is ignored"
    )
    auto_truncate: bool | None = Field(
        default=None,
        description="Too long a text loses its end (`true`) or is refused (`false`) when the request says nothing; "
        "default: as each API does",
    )

    device: str = Field(default="CPU", description="OpenVINO device: `CPU`, `GPU`, `GPU.n`, `NPU` or `AUTO`")
    precision: Literal["auto", "f32", "bf16", "f16"] = Field(
        default="auto",
        description="Arithmetic; `auto`: bf16 or f32, whichever is measured to be faster at start (f16 on a GPU)",
    )
    threads: int = Field(
        default=0, ge=0, description="CPU threads; 0: what the affinity mask and the cgroup quota allow"
    )
    streams: int = Field(default=0, ge=0, description="Batches that run side by side; 0: chosen from the threads")
    cache_dir: Path | None = Field(
        default=Path("~/.cache/multi2vec-openvino"),
        description="OpenVINO's cache of compiled models, for fast starts; `none` turns it off",
    )

    picture_batch: int = Field(default=32, ge=1, description="Most pictures, or tiles of pictures, in one batch")
    text_batch: int = Field(default=32, ge=1, description="Most texts in one batch")
    text_batch_tokens: int = Field(
        default=1024, ge=1, description="Most tokens in one batch of texts, or of fused items, padding included"
    )
    fused_batch: int = Field(
        default=16, ge=1, description="Most items in one batch where texts and pictures have one vector (`fused`)"
    )

    max_body_bytes: int = Field(default=128 * MIB, ge=1, description="Largest request body")
    max_items: int = Field(default=4096, ge=1, description="Most texts and pictures in one request")
    max_picture_bytes: int = Field(default=Limits.picture_bytes, ge=1, description="Largest picture file")
    max_picture_pixels: int = Field(
        default=Limits.picture_pixels,
        ge=1,
        description="Most pixels in a picture, read from its header before decoding",
    )
    max_video_bytes: int = Field(default=VideoLimits.bytes, ge=1, description="Largest video file")
    max_video_pixels: int = Field(default=VideoLimits.pixels, ge=1, description="Most pixels in a frame of a video")
    max_video_frames: int = Field(default=VideoLimits.frames, ge=1, description="Most frames that are taken of a video")
    max_video_decoded_frames: int = Field(
        default=VideoLimits.decoded, ge=1, description="Most frames that are decoded to reach those"
    )
    max_video_packets: int = Field(default=VideoLimits.packets, ge=1, description="Most packets in a video's pictures")
    max_video_decode_seconds: float = Field(
        default=VideoLimits.seconds, gt=0, description="Seconds that decoding a video may take"
    )
    max_video_memory_bytes: int = Field(
        default=VideoLimits.memory, ge=1, description="Address space of the process that decodes a video"
    )
    video_folder: Path | None = Field(
        default=None,
        description="A folder of videos that requests of Intel's API may name by their paths in it; none: no paths",
    )
    fetch_hosts: str = Field(
        default="",
        description="Hosts that pictures and videos may be fetched from by URL, separated by commas: `example.org`, "
        "`*.example.org`, `files:9000`, `*`; none: nothing is fetched",
    )
    fetch_networks: str = Field(
        default="",
        description="Networks that those hosts may be in though they are not public, such as `10.1.0.0/16`",
    )
    fetch_seconds: float = Field(default=10.0, gt=0, description="Seconds that fetching one file may take")
    fetch_redirects: int = Field(default=3, ge=0, description="Redirects that are followed when a file is fetched")
    max_queue: int = Field(
        default=4096, ge=1, description="Most texts, and most pictures, in hand; beyond it requests get 503"
    )
    max_wait: float = Field(
        default=45.0,
        gt=0,
        description="Seconds that an answer may take, by estimate or while the model loads; beyond it requests get 503",
    )
    keep_alive: int = Field(
        default=120, ge=1, description="Seconds that an idle connection is kept (Weaviate keeps 90)"
    )
    max_requests_per_connection: int = Field(
        default=0,
        ge=0,
        description="Requests after which a connection is closed, so that clients spread over servers; 0: never",
    )
    drain_seconds: float = Field(
        default=0.3,
        ge=0,
        description="Seconds after SIGTERM in which kept connections are still answered and told to leave",
    )
    shutdown_grace: float = Field(
        default=30.0, ge=0, description="Seconds for requests in flight after that, before they are broken off"
    )
    stall_seconds: float = Field(
        default=120.0, gt=0, description="A batch that runs longer than this makes `live` fail"
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe log level shown"
    )
    log_format: Literal["text", "json"] = Field(default="text", description="Log lines for people, or JSON objects")
    access_log: bool = Field(default=False, description="Log every request")
    tracing: bool = Field(
        default=False,
        description="Send OpenTelemetry spans of requests to where `OTEL_EXPORTER_OTLP_ENDPOINT` says; needs the extra "
        "`tracing`",
    )
    enable_cuda: bool = Field(
        default=False, description="Set by Weaviate's chart; here it only warns: there is no CUDA"
    )

    @field_validator("url_prefix")
    @classmethod
    def _prefix(cls, value: str) -> str:
        value = value.strip("/")
        return f"/{value}" if value else ""

    @field_validator("cache_dir", mode="before")
    @classmethod
    def _no_cache(cls, value: Any) -> Any:
        return None if str(value).lower() == "none" else value

    @field_validator("cache_dir")
    @classmethod
    def _home(cls, value: Path | None) -> Path | None:
        return value.expanduser() if value else None

    @field_validator("api_keys_file")
    @classmethod
    def _keys(cls, value: Path | None) -> Path | None:
        if value is not None:
            try:
                value.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise ValueError(f"{value} cannot be read: {getattr(error, 'strerror', error)}") from None
        return value

    @field_validator("fetch_networks")
    @classmethod
    def _networks(cls, value: str) -> str:
        for each in listed(value):
            ipaddress.ip_network(each)
        return value

    @field_validator("fetch_hosts")
    @classmethod
    def _hosts(cls, value: str) -> str:
        for each in listed(value):
            if not HOST.fullmatch(each):
                raise ValueError(f"{each!r} is no host: example.org, *.example.org, files:9000 or *")
        return value

    @property
    def model_folder(self) -> Path:
        """Where the model to serve lies."""
        return self.model_dir or places.model_folder(self.tag)


def listed(value: str) -> tuple[str, ...]:
    """What stands between commas."""
    return tuple(each.strip() for each in value.split(",") if each.strip())


def table() -> str:
    """The settings as a Markdown table."""
    rows = ["| setting | default | what it does |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default in (None, "") else f"`{field.default}`"
        default = default.lower() if isinstance(field.default, bool) else default
        rows.append(f"| `{name.upper()}` | {default} | {field.description} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
