"""Multi-coil MRI: fastMRI files, masks, coils, simulation, and reconstruction networks with learnable transforms."""

import lazy_loader

# Names are listed in __init__.pyi and imported on first use: torch, lightning and neuralop take seconds.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
