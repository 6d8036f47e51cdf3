"""What stands for pictures and videos among a fused model's tokens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from PIL import Image

from multi2vec.engine.errors import Unsupported
from multi2vec.engine.items import Item
from multi2vec.engine.preparers import layouts, videos
from multi2vec.engine.preparers.layouts import Laid, smaller
from multi2vec.engine.preparers.pictures import RESAMPLING, decoded, to_rgb, upright
from multi2vec.engine.preparers.protocol import Prepared
from multi2vec.engine.preparers.videos import Film, video_of
from multi2vec.engine.video.decoder import Frame
from multi2vec.engine.video.sampling import Sampling
from multi2vec.engine.wanted import PictureFile
from multi2vec.engine.work import Limits
from multi2vec.specs import VIDEO, FusedSpec, VideoSpec

SECONDS = "{seconds}"


@dataclass(frozen=True)
class Shown:
    """A picture, or a video's frames one after another: behind some words, each is the token `place` for each of its
    rows. What has a `key` is the same as all else with it; `file` is what a picture was."""

    place: int
    laid: Sequence[tuple[str, Laid]]
    key: str = ""
    file: PictureFile | None = None

    @property
    def parts(self) -> list[Prepared]:
        """What the vision tower takes."""
        return [Prepared(each.arrays, size=each.size, key=self.key) for _, each in self.laid]


class Showing:
    """Lays out pictures and videos as a spec says; `special` are the ids of special tokens."""

    def __init__(self, spec: FusedSpec, special: Mapping[str, int], limits: Limits) -> None:
        self._spec, self._limits = spec, limits
        self._place = special[spec.place]
        self._video = spec.video
        self._video_place = special[spec.video.place] if spec.video else self._place
        self.usual = sampling(spec.video) if spec.video else videos.USUAL

    def shown(self, piece: Item) -> Shown:
        """The picture, or the video. Raises as `decoded` and `videos.frames` do, and `Unsupported` for a video where
        the model was not made for such."""
        if piece.modality == VIDEO:
            return self._frames(piece.content)
        laid, file = decoded(piece.content, self._opened, self._limits)
        return Shown(self._place, [("", laid)], file=file)

    def square(self, side: int) -> Shown:
        """A black one, of so many pixels."""
        return Shown(self._place, [("", self._opened(Image.new("RGB", (side, side))))], key=f"black {side}")

    def film(self, frames: Iterable[Frame]) -> Film:
        """The frames laid out one by one, or so many as are shown together; the last is repeated where one is
        missing. Only those of them are held."""
        assert self._video is not None
        return Film([self._together(group, self._video) for group in _grouped(frames, self._video.together)])

    def _frames(self, content: Any) -> Shown:
        if self._video is None:
            raise Unsupported("the model was not made for videos; its items are texts and pictures")
        film = content
        if not isinstance(film, Film):
            film = self.film(videos.frames(video_of(content), self.usual, self._limits))
        says = self._video.says
        return Shown(
            self._video_place, [(says.replace(SECONDS, f"{seconds:.1f}"), laid) for laid, seconds in film.shown]
        )

    def _together(self, frames: Sequence[Frame], video: VideoSpec) -> tuple[Laid, float]:
        layout = smaller.sharing(video.layout, video.pixels, frames[0].of)
        pictures = [Image.fromarray(frame.pixels) for frame in frames]
        laid = layouts.lay_out(pictures, layout, RESAMPLING[self._spec.interpolation])
        return laid, (frames[0].seconds + frames[-1].seconds) / 2

    def _opened(self, opened: Image.Image) -> Laid:
        spec = self._spec
        picture = to_rgb(upright(opened, spec), spec)
        return layouts.lay_out([picture], spec.layout, RESAMPLING[spec.interpolation])


def sampling(video: VideoSpec) -> Sampling:
    """The frames that a model's videos usually have."""
    return Sampling(fps=video.fps, least=video.least, most=video.most, even=video.even, count=video.count, at=video.at)


def _grouped(frames: Iterable[Frame], together: int) -> Iterator[list[Frame]]:
    remaining = iter(frames)
    while group := list(islice(remaining, together)):
        yield [*group, *[group[-1]] * (together - len(group))]
