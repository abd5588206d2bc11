"""Tuned comparisons: a study file, its protocol, the engines that run it, and the table of what they gave."""

import lazy_loader

# Names are listed in __init__.pyi and imported on first use: torch, lightning and neuralop take seconds.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
