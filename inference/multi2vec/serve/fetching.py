"""Pictures and videos by URL: off unless hosts are allowed, and safe against what a caller's URL can do to the network
behind.

    URL → scheme, host and port allowed → address allowed → answer → body within limits
              ↑                                               │
              └────────────── redirect, a few times ──────────┘

The address that is checked is the one that is connected to: the name is looked up here, once for each connection, so a
name that changes its address between two lookups wins nothing. Proxies in the environment are not used, since they
would do the lookup. Nothing of an answer is told to the caller but its status.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

import httpcore2

from multi2vec import __version__
from multi2vec.engine.errors import BadInput, TooLarge
from multi2vec.serve.errors import BadRequest

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# What a gateway translates to addresses of version 4.
TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")

PORTS = {"http": 80, "https": 443}
REDIRECTS = (301, 302, 303, 307, 308)
HEADERS = (
    ("user-agent", f"multi2vec-openvino/{__version__}"),
    ("accept-encoding", "identity"),
)
HOSTS_SETTING, NETWORKS_SETTING = "FETCH_HOSTS", "FETCH_NETWORKS"
TOGETHER_SETTING = "MAX_BODY_BYTES"


@dataclass(frozen=True)
class Kind:
    """What may be fetched: what it is called, which types are asked for, what a data URI of it looks like, and the
    setting that bounds its bytes."""

    word: str
    accept: str
    uri: str
    setting: str


PICTURE = Kind("picture", "image/*", "data:image/png;base64,…", "MAX_PICTURE_BYTES")
VIDEO = Kind("video", "video/*", "data:video/mp4;base64,…", "MAX_VIDEO_BYTES")


@dataclass(frozen=True)
class Link:
    """Where a picture or a video is to be fetched from."""

    url: str
    kind: Kind = PICTURE


@dataclass(frozen=True)
class Rules:
    """What may be fetched.

    A host is a name, `*.name` for all below it, or `*`; with `:port` that port, else 80 and 443. `networks` are
    addresses that are allowed though they are not public. `size` is in bytes, `video_size` that of a video, `together`
    that of all files of a request; `seconds` are for all of one file.
    """

    hosts: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()
    size: int = 32 * 1024 * 1024
    video_size: int = 128 * 1024 * 1024
    together: int = 128 * 1024 * 1024
    seconds: float = 10.0
    redirects: int = 3
    connections: int = 16

    def most(self, kind: Kind) -> int:
        """The most bytes of a file."""
        return self.video_size if kind is VIDEO else self.size


class Fetcher:
    """Fetches files within the rules. Runs on one event loop."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._gate = asyncio.Semaphore(rules.connections)
        self._pool = httpcore2.AsyncConnectionPool(
            # Verified by the system's authorities.
            ssl_context=ssl.create_default_context(),
            max_keepalive_connections=0,
            network_backend=_Checked(rules.networks),
        )

    async def fetch(self, link: Link) -> bytes:
        """The file's bytes. Raises `BadRequest` for a URL that is not allowed, `BadInput` when it cannot be had, and
        `TooLarge`."""
        async with self._gate:
            try:
                async with asyncio.timeout(self._rules.seconds):
                    return await self._followed(link)
            except TimeoutError:
                raise _unfetched(link, f"it took longer than {self._rules.seconds:g} s") from None
            except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException, OSError) as error:
                raise _unfetched(link, _reason(error)) from None

    async def fetch_all(self, links: Collection[Link]) -> dict[Link, bytes]:
        """The files of all links, side by side; the first error ends the others. Raises `TooLarge` too when they are
        more than a request may have."""
        tasks = {link: asyncio.ensure_future(self.fetch(link)) for link in links}
        found = 0
        try:
            for done in asyncio.as_completed(tasks.values()):
                found += len(await done)
                if found > self._rules.together:
                    raise TooLarge(f"the files have more than {self._rules.together} bytes", limit=TOGETHER_SETTING)
            return {link: task.result() for link, task in tasks.items()}
        finally:
            for task in tasks.values():
                task.cancel()

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.aclose()

    async def _followed(self, link: Link) -> bytes:
        for _ in range(self._rules.redirects + 1):
            answer = await self._asked(link, check(link, self._rules))
            if isinstance(answer, bytes):
                return answer
            link = replace(link, url=urljoin(link.url, answer))
        raise _unfetched(link, f"it was redirected more than {self._rules.redirects} times")

    async def _asked(self, link: Link, parts: SplitResult) -> bytes | str:
        """One answer: the file, or where to go on."""
        url = httpcore2.URL(
            scheme=parts.scheme,
            host=(parts.hostname or "").encode("idna"),
            port=parts.port or PORTS[parts.scheme],
            target=f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}",
        )
        headers = [("host", parts.netloc), ("accept", link.kind.accept), *HEADERS]
        timeouts = {"timeout": dict.fromkeys(("connect", "read", "write", "pool"), self._rules.seconds)}
        async with self._pool.stream("GET", url, headers=headers, extensions=timeouts) as response:
            told = {name.lower(): value.decode("latin-1") for name, value in response.headers}
            if response.status in REDIRECTS and b"location" in told:
                return told[b"location"]
            if response.status != 200:
                raise _unfetched(link, f"it answered {response.status}")
            return await self._body(response, told.get(b"content-length", ""), link.kind)

    async def _body(self, response: Any, announced: str, kind: Kind) -> bytes:
        most = self._rules.most(kind)
        if announced.isdecimal() and int(announced) > most:
            raise TooLarge(f"a {kind.word} has {announced} bytes, more than {most}", limit=kind.setting)
        found = bytearray()
        async for chunk in response.aiter_stream():
            found += chunk
            if len(found) > most:
                raise TooLarge(f"a {kind.word} has more than {most} bytes", limit=kind.setting)
        return bytes(found)


class _Checked(httpcore2.AsyncNetworkBackend):
    """Connects to allowed addresses only."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = networks
        self._backend = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """A connection to the first of the host's addresses that accepts one. All of them must be allowed."""
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
        for address in addresses:
            if not is_allowed(address, self._networks):
                raise BadRequest(
                    f"{host} has an address that is not public; nothing is fetched from those",
                    limit=NETWORKS_SETTING,
                )
        return await self._first(addresses, port, timeout)

    async def _first(self, addresses: Sequence[str], port: int, timeout: float | None) -> httpcore2.AsyncNetworkStream:
        for address in addresses[:-1]:
            try:
                return await self._backend.connect_tcp(address, port, timeout)
            except httpcore2.ConnectError:
                continue
        return await self._backend.connect_tcp(addresses[-1], port, timeout)


def check(link: Link, rules: Rules) -> SplitResult:
    """The URL's parts. Raises `BadRequest` unless it is http or https and its host is allowed."""
    if not rules.hosts:
        raise BadRequest(
            f"{link.kind.word}s are not fetched from URLs here; send the file as a data URI, {link.kind.uri}",
            limit=HOSTS_SETTING,
        )
    try:
        parts = urlsplit(link.url)
        port = parts.port
    except ValueError:
        raise BadRequest(f"a {link.kind.word}'s URL cannot be read") from None
    is_plain = link.url.isascii() and link.url.isprintable() and " " not in link.url
    if parts.scheme not in PORTS or not parts.hostname or parts.username is not None or not is_plain:
        raise BadRequest(f"a {link.kind.word}'s URL is http://host/path or https://host/path, without a user's name")
    if not any(_matches(host, parts.hostname, port) for host in rules.hosts):
        raise BadRequest(f"{link.kind.word}s are not fetched from {parts.netloc}; allowed: {', '.join(rules.hosts)}")
    return parts


def is_allowed(address: str, networks: Sequence[Network]) -> bool:
    """Whether a file may come from the address: it is public, or in one of the networks."""
    plain = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(plain, ipaddress.IPv6Address) and (inside := _version_4_inside(plain)):
        return is_allowed(str(inside), networks)
    return (plain.is_global and not plain.is_multicast) or any(plain in network for network in networks)


def _version_4_inside(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The address that is really reached by one that stands for it (RFC 4291, 3056, 4380, 6052)."""
    if address in TRANSLATED:
        return ipaddress.IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)


def _matches(allowed: str, host: str, port: int | None) -> bool:
    name, _, wanted = allowed.partition(":")
    is_port = port == int(wanted) if wanted else port in (None, *PORTS.values())
    name, host = name.lower(), host.lower().rstrip(".")
    is_host = name in ("*", host) or (name.startswith("*.") and host.endswith(name[1:]))
    return is_port and is_host


def _unfetched(link: Link, why: str) -> BadInput:
    return BadInput(f"the {link.kind.word} at {urlsplit(link.url).netloc} cannot be fetched: {why}")


def _reason(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return "there is no such host"
    if isinstance(error, httpcore2.ConnectError):
        return "it cannot be reached"
    return "it broke off" if isinstance(error, httpcore2.ProtocolError | httpcore2.ReadError) else "it does not answer"
