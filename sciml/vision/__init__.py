"""A small vision transformer of scikit-learn's digits: a test bed for structured linear layers."""

import lazy_loader

# Names are listed in __init__.pyi and imported on first use: torch and lightning take seconds.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
