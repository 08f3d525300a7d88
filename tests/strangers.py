"""Files as an attacker or an accident leaves them: bad images, pickles that run code, values without end."""

import os
import pickle
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image


class Payload:
    """What an attacker puts into a pickle: reading it makes a directory."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.marker),)


def saved_by_torch(path: Path, marker: Path, around: Callable[[Any], Any] = lambda payload: {"x": payload}) -> None:
    torch.save(around(Payload(marker)), path)


def saved_before_torch_1_6(path: Path, marker: Path) -> None:
    torch.save({"x": Payload(marker)}, path, _use_new_zipfile_serialization=False)


def bare_pickle(path: Path, marker: Path) -> None:
    path.write_bytes(pickle.dumps(Payload(marker)))


def old_pickle(path: Path, marker: Path) -> None:
    path.write_bytes(pickle.dumps(Payload(marker), protocol=0))


PICKLES: dict[str, Callable[[Path, Path], None]] = {
    "torch": saved_by_torch,
    "torch before 1.6": saved_before_torch_1_6,
    "pickle": bare_pickle,
    "pickle of protocol 0": old_pickle,
}
"""What writes a file, given its path and the directory that reading it makes."""


def huge_png(path: Path, size: int = 60_000) -> None:
    """A PNG of some hundred bytes that says it is a square of so many pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"\0" * 4096)), chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def picture(mode: str = "RGB", size: tuple[int, int] = (16, 16)) -> Image.Image:
    """A grey image of a mode of Pillow's."""
    if mode == "I;16":
        return Image.fromarray(np.full(size, 30_000, np.uint16))
    return Image.new("RGB", size, (90, 90, 90)).convert(mode)


def half_of(path: Path) -> None:
    picture().save(path, "PNG")
    path.write_bytes(path.read_bytes()[:60])


def postscript(path: Path) -> None:
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n%%EndComments\nshowpage\n")


BAD_IMAGES: dict[str, Callable[[Path], None]] = {
    "truncated": half_of,
    "no bytes": lambda path: path.write_bytes(b"") and None,
    "text": lambda path: path.write_text("no image") and None,
    "60,000 x 60,000": huge_png,
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to nothing": lambda path: path.symlink_to("nowhere.png"),
    "a pipe": lambda path: os.mkfifo(path),
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "PostScript": postscript,
    "floating-point pixels": lambda path: picture("F").save(path, "TIFF"),
    "an archive": lambda path: path.write_bytes(b"PK\x05\x06" + bytes(18)) and None,
}
"""What is no image, or none that is read, by what is wrong with it; each writes a file."""

ODD_IMAGES: dict[str, Callable[[Path], None]] = {
    "1x1": lambda path: picture(size=(1, 1)).save(path, "PNG"),
    "1x300": lambda path: picture(size=(1, 300)).save(path, "PNG"),
    "CMYK": lambda path: picture("CMYK").save(path, "JPEG"),
    "16 bits": lambda path: picture("I;16").save(path, "PNG"),
    "1 bit": lambda path: picture("1").save(path, "PNG"),
    "palette": lambda path: picture("P").save(path, "PNG", transparency=bytes([0, 128, 255])),
    "transparent": lambda path: picture("RGBA").save(path, "PNG"),
    "animated": lambda path: picture().save(path, "PNG", save_all=True, append_images=[picture("L").convert("RGB")]),
    "animated, WebP": lambda path: picture().save(path, "WEBP", save_all=True, append_images=[picture()]),
    "animated, GIF": lambda path: picture("P").save(path, "GIF", save_all=True, append_images=[picture("P")]),
    "wrong extension": lambda path: picture().save(path, "BMP"),
}
"""What is an image all the same."""

NAMES = (
    *("猫", "кошка", "\u0642\u0637\u0629", "बिल्ली", "\u0645\u06cc\u200c\u062e", "naïve", "😀" * 60),
    *("a b,c;d'e\"f", "$(touch x)", "-rf", "a\nb", "\x1b[2J"),
)
"""Names of files, without what comes after the dot."""


def alias_bomb(levels: int = 40) -> str:
    """YAML of some lines that stands for 2 ** levels values."""
    return "[" + "&a0 [1, 1]" + "".join(f", &a{n + 1} [*a{n}, *a{n}]" for n in range(levels)) + "]"


def merge_bomb(levels: int = 40) -> str:
    """The same by merged mappings, which grow when they are read and not when they are used."""
    merged = "".join(f", a{n + 1}: &a{n + 1} {{<<: [*a{n}, *a{n}]}}" for n in range(levels))
    return f"{{a0: &a0 {{x: 1}}{merged}}}"


BAD_YAML: dict[str, str] = {
    "a billion values": f"ratios: {alias_bomb()}",
    "a billion keys": f"ratios: {merge_bomb()}",
    "a billion values in text": f"ratios: '{alias_bomb()}'",
    "a list in itself": "ratios: &a [*a]",
    "nested": f"ratios: {'[' * 100}{']' * 100}",
    "nested without end": "ratios: " + "[" * 2000,
    "code": "network: !!python/object/apply:os.mkdir [ran]",
    "an object": "network: !!python/object/new:os.system [mkdir ran]",
    "a number of 5,000 digits": "epochs: " + "9" * 5000,
    "no date": "epochs: 2023-99-99",
    "no time": "epochs: !!timestamp x",
    "no number": "epochs: !!int ''",
    "too large": "ratios: [" + "1," * 20_000 + "1]",
    "too many": "- x\n" * 8000,
    "no text": "\x00",
    "a list": "[1]",
    "nothing": "",
}
"""What is refused as a file of options."""
