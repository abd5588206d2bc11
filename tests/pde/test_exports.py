import pytest

import sciml.pde


def test_every_name_is_there():
    for name in sciml.pde.__all__:
        assert getattr(sciml.pde, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = sciml.pde.nothing
