"""Files of other formats than those that are read: what they are, and how to bring them in."""

import struct
import zipfile
from pathlib import Path

HOW = "store it as HDF5 with h5py: u (sample, time, y, x) and time, as data/README.md says"
STARTS = {
    b"\x93NUMPY": "a NumPy array",
    b"CDF\x01": "a NetCDF 3 file",
    b"CDF\x02": "a NetCDF 3 file",
    b"\x1f\x8b": "a gzip archive; unpack it",
    b"BZh": "a bzip2 archive; unpack it",
    b"\xfd7zXZ": "an xz archive; unpack it",
    b"version https://git-lfs": "a pointer of Git LFS; fetch the file itself with `git lfs pull`",
}


def described(path: Path, head: bytes) -> str | None:
    """What a file is that starts with `head` and what to do with it; None if it may be one that is read."""
    for start, kind in STARTS.items():
        if head.startswith(start):
            return kind if ";" in kind else f"{kind}; {HOW}"
    if head.startswith(b"PK"):
        return _archive(path)
    if path.suffix == ".mat" and _is_matlab4(head):
        return "a MATLAB 4 file, whose matrices have two axes only; save it with -v7.3"
    return None


def _archive(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return None  # damaged: perhaps PyTorch's
    if any(name.endswith(".npy") for name in names):
        return f"NumPy arrays (.npz); {HOW}"
    if not any(name.endswith("data.pkl") for name in names):
        return "a zip archive, but none of PyTorch's; unpack it"
    return None


def _is_matlab4(head: bytes) -> bool:
    """A header of five integers: type (four digits MOPT), rows, columns, complex or not, length of the name."""
    if len(head) < 20:
        return False
    for order in "<>":
        kind, rows, columns, imaginary, length = struct.unpack_from(f"{order}5i", head)
        known = 0 <= kind < 5000 and kind // 100 % 10 == 0 and kind // 10 % 10 <= 5 and kind % 10 <= 2
        if known and min(rows, columns) >= 0 and imaginary in (0, 1) and 1 < length <= 64:
            return True
    return False
