"""Our HDF5 (`sciml data`): an equation's fields (sample, time, *grid), `time` (time,), attributes."""

import logging
from pathlib import Path

import numpy as np

from sciml.io import hdf5
from sciml.io.probe import require_safe
from sciml.pde.equations.equation import Equation
from sciml.pde.formats.checks import checked_length, expect
from sciml.pde.formats.source import Source

logger = logging.getLogger(__name__)


class HDF5Source(Source):
    """Header and fields of such a file; samples that an unfinished generator has not written do not count."""

    def __init__(self, path: Path, axes: int | None = None) -> None:
        super().__init__(path)
        require_safe(path)
        with hdf5.reading(path) as file:
            known = sorted({kind.dataset for kind in Equation.known().values()}, reverse=True)  # vorticity before u
            name = next((key for key in known if key in file), known[0])
            complete = hdf5.complete_rows(file)
            data = hdf5.dataset(file, name, rows=complete)
            expect(data.ndim >= 3, path, name, "(sample, time, *grid)", data.shape)
            stored = len(data)
            n_samples = stored if complete is None else complete
            expect(0 <= n_samples <= stored, path, "n_complete", f"0 ... {stored}", complete)
            if n_samples < stored:
                logger.warning("%s: incomplete, %d of %d samples", path, n_samples, stored)
            time = hdf5.dataset(file, "time")[()]
            expect(np.shape(time) == data.shape[1:2], path, "time", data.shape[1:2], np.shape(time))
            self._take_trajectories(name, data.shape, time, data.dtype, axes)
            self.n_samples = n_samples
            self.attributes = hdf5.attributes(file)
            self.length = checked_length(path, hdf5.attribute(file, "length", 1.0))
            equation = Equation.known().get(str(hdf5.attribute(file, "equation")))
        self.sampling = "periodic" if equation is None else equation.sampling

    def fields(self, start: int, stop: int, frames: slice) -> tuple[np.ndarray, ...]:
        with hdf5.reading(self.path) as file:
            data = hdf5.dataset(file, self.names[0], rows=self.n_samples)
            return (hdf5.read_samples(data, start, stop)[:, frames],)
