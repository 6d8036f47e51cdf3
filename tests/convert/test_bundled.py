"""The notices of what packages bring along, against what is installed."""

from __future__ import annotations

import ctypes
import platform
from importlib.metadata import distribution, version
from pathlib import Path

import pytest
from license_expression import get_spdx_licensing

from multi2vec.convert import bundled
from tests.server import ROOT

NOTICE = ROOT / "requirements" / "notices" / "av.md"
SITE_PACKAGES = Path(str(distribution("av").locate_file("")))
LIBRARIES = {library.name: library for library in bundled.read(NOTICE)}
# Wheels for arm64 have no drivers of Intel's.
X86_ONLY = {"libvpl"}


def test_the_notice_is_of_the_locked_version() -> None:
    """Whoever takes another version of `av` looks through its notice, and then writes that version there."""
    assert f"`av` {version('av')} " in NOTICE.read_text()


def test_the_notice_lists_every_library_of_the_wheel_and_no_other() -> None:
    absent = set() if platform.machine() == "x86_64" else X86_ONLY
    listed = [library for name, library in LIBRARIES.items() if name not in absent]
    assert len(listed) > 15
    assert bundled.files(SITE_PACKAGES / "av.libs") == {file for library in listed for file in library.files}
    assert bundled.present(NOTICE, SITE_PACKAGES) == listed


@pytest.mark.parametrize(
    ("name", "file", "function"),
    [
        ("FFmpeg", "libavutil", "av_version_info"),
        ("LAME", "libmp3lame", "get_lame_version"),
        ("alsa-lib", "libasound", "snd_asoundlib_version"),
        ("GnuTLS", "libgnutls", "gnutls_check_version"),
        ("dav1d", "libdav1d", "dav1d_version"),
        ("libvpx", "libvpx", "vpx_codec_version_str"),
        ("Opus", "libopus", "opus_get_version_string"),
        ("SVT-AV1", "libSvtAv1Enc", "svt_av1_get_version"),
    ],
)
def test_versions_are_those_that_libraries_say(name: str, file: str, function: str) -> None:
    (path,) = (SITE_PACKAGES / "av.libs").glob(f"{file}-*")
    ask = ctypes.CDLL(str(path))[function]
    ask.restype, ask.argtypes = ctypes.c_char_p, [ctypes.c_char_p]
    assert ask(None).decode().split()[-1].removeprefix("v") == LIBRARIES[name].version


def test_licences_are_spdx_expressions() -> None:
    for library in LIBRARIES.values():
        assert get_spdx_licensing().validate(library.licence, strict=True).errors == [], library


def test_what_a_wheel_has_not_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "av.libs").mkdir()
    (tmp_path / "av.libs" / "libx264-d6533a8d.so.165").touch()
    assert bundled.present(NOTICE, tmp_path) == [LIBRARIES["x264"]]


def test_what_the_notice_has_not_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "av.libs").mkdir()
    (tmp_path / "av.libs" / "libx264-d6533a8d.so.170").touch()
    with pytest.raises(bundled.BundleError, match=r"av.md does not list what av brings along: libx264.so.170"):
        bundled.present(NOTICE, tmp_path)
