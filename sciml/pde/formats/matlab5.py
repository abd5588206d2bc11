"""Numeric arrays from MATLAB 5 files, for files that may be damaged.

scipy.io.loadmat looks up the type number of an element without checking it, so that one flipped bit ends the
process (segmentation fault, scipy 1.17); here every number is checked against the file before it is used. Layout:
"MAT-File Format", The MathWorks, chapter 1.
"""

import math
import mmap
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sciml.errors import CorruptFile

MATRIX, COMPRESSED, COMPLEX = 14, 15, 0x0800
STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
HEADER, PEEK = 128, 4096


class Variable(NamedTuple):
    """A real numeric array: its shape and type, the type it is stored in, and where."""

    shape: tuple[int, ...]
    dtype: np.dtype
    stored: np.dtype
    start: int
    size: int
    compressed: bool
    offset: int

    @property
    def stored_bytes(self) -> int:
        return math.prod(self.shape) * self.stored.itemsize


def variables(path: Path) -> dict[str, Variable]:
    """The real numeric arrays of a file; what is of another kind (text, structures, complex) is left out.

    Raises:
        CorruptFile: Truncated, or not MATLAB 5.
    """
    with _mapped(path) as view:
        order = {b"IM": "<", b"MI": ">"}.get(view[126:128])
        if order is None:
            raise ValueError("no byte order mark")
        found = {}
        start = HEADER
        while start < len(view):
            kind, size, body = _tag(view, start, len(view), order)
            compressed = kind == COMPRESSED
            head = view[start : body + min(size, PEEK)]
            if compressed:
                head = zlib.decompressobj().decompress(head[8:], PEEK)
            name, array = _parse(head, order)
            if array:
                dtypes = (np.dtype(order + array[1]), np.dtype(order + array[2]))
                found[name] = Variable(array[0], *dtypes, start, body + size - start, compressed, array[3])
            start = body + size
    return found


def read(path: Path, variable: Variable) -> np.ndarray:
    """One of the arrays that `variables` found.

    Raises:
        CorruptFile: Truncated, damaged, or smaller than its declared shape.
    """
    with _mapped(path) as view:
        data = view[variable.start : variable.start + variable.size]
    end = variable.offset + variable.stored_bytes
    with _named(path):
        if variable.compressed:
            data = _inflate(data[8:], end)
        count = math.prod(variable.shape)
        values = np.frombuffer(data, variable.stored, count, variable.offset)
        return values.astype(variable.dtype.newbyteorder("="), copy=False).reshape(variable.shape, order="F")


def _inflate(data: bytes, end: int) -> bytes:
    """At most what the shape needs, padding and a little more, whatever the stream would expand to."""
    stream = zlib.decompressobj()
    content = stream.decompress(data, end + 8)
    if not stream.eof:
        raise ValueError("compressed data longer than its shape")
    return content


def _parse(head: bytes, order: str) -> tuple[str, tuple[tuple[int, ...], str, str, int] | None]:
    """Name and, of a real numeric array, (shape, class, stored type, offset) from the head of an element."""
    kind, size, at = _tag(head, 0, None, order)
    if kind != MATRIX:
        raise ValueError(f"element of type {kind}")
    end = at + size
    parts = []
    for _ in range(3):  # flags, dimensions, name
        _, size, body = _tag(head, at, end, order)
        parts.append(head[body : body + size])
        at = body + 4 if body == at + 4 else body + -(-size // 8) * 8
    (flags,) = struct.unpack_from(order + "I", parts[0])
    shape = struct.unpack(f"{order}{len(parts[1]) // 4}i", parts[1])
    name = parts[2].decode("latin-1")
    if flags & 0xFF not in CLASSES or flags & COMPLEX:
        return name, None
    kind, size, body = _tag(head, at, end, order)
    if kind not in STORED or min(shape) < 0 or math.prod(shape) * int(STORED[kind][1]) != size:
        raise ValueError(f"{name}: {size} bytes of type {kind} for shape {shape}")
    return name, (shape, CLASSES[flags & 0xFF], STORED[kind], body)


def _tag(data: bytes | mmap.mmap, at: int, end: int | None, order: str) -> tuple[int, int, int]:
    """(type, size in bytes, where its data begins) of the element at `at`, which must end by `end`."""
    kind, size = struct.unpack_from(order + "II", data, at)
    body = at + 8
    if kind >> 16:  # small element: size and type share a word, the data the next
        kind, size, body = kind & 0xFFFF, kind >> 16, at + 4
    if end is not None and body + size > end:
        raise ValueError(f"an element at byte {at} claims {size} bytes, past the end")
    return kind, size, body


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, IndexError, struct.error, zlib.error) as error:
        raise CorruptFile(f"{path}: truncated or damaged MATLAB 5 file ({error}); fetch it again") from error


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap]:
    with path.open("rb") as file, _named(path), mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        yield view
