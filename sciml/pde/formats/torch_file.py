"""neuraloperator's `.pt`: a dict of pairs `x`, `y`; `x` alone to predict from."""

import pickle
import zipfile
from pathlib import Path

import torch

from sciml.errors import BadSchema, CorruptFile, UnsafeFile, listed
from sciml.io.checkpoints import unsafe_names
from sciml.pde.formats.arrays import PairSource


class TorchSource(PairSource):
    """The tensors of such a file; (N, *grid) gets a channel axis, bool becomes 0 and 1."""

    def __init__(self, path: Path, axes: int | None = None) -> None:
        tensors = _load_tensors(path)
        if "x" not in tensors:
            raise BadSchema(f"{path}: no tensor 'x'; the file has {listed(sorted(tensors))}")
        pairs = {key: tensor.detach() for key, tensor in sorted(tensors.items()) if key in ("x", "y")}
        for key, tensor in pairs.items():
            _check_stored(path, key, tensor)
        super().__init__(path, pairs, axes)


def _check_stored(path: Path, key: str, tensor: torch.Tensor) -> None:
    if tensor.layout is not torch.strided:
        return  # refused for that
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise UnsafeFile(f"{path}: {key}: declares {tuple(tensor.shape)}, more than it stores")


def _check_archive(path: Path) -> None:
    with path.open("rb") as file:
        if file.read(2) != b"PK":  # torch < 1.6 wrote a bare pickle, without checksums
            return
    with zipfile.ZipFile(path) as archive:
        if (damaged := archive.testzip()) is not None:
            raise ValueError(f"{damaged} fails its checksum")


def _load_tensors(path: Path) -> dict[str, torch.Tensor]:
    """torch.load checks no CRC, so that comes first; and it raises whatever it stumbles upon."""
    try:
        _check_archive(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # torch's own message recommends weights_only=False, which would run the file's code: not passed on
        if isinstance(error, pickle.UnpicklingError) and (code := unsafe_names(path)):
            raise UnsafeFile(f"{path}: expected tensors only, found {listed(code)}: would run code") from error
        reason = str(error).partition("\n")[0] if not isinstance(error, pickle.UnpicklingError) else "no tensors"
        raise CorruptFile(f"{path}: truncated or damaged PyTorch file ({reason}); fetch it again") from error
    if not isinstance(content, dict):
        raise BadSchema(f"{path}: expected a dict of x and y, found a {type(content).__name__}")
    return {str(key): value for key, value in content.items() if isinstance(value, torch.Tensor)}
