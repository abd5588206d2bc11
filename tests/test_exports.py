import pytest

import sciml.mri
import sciml.pde


@pytest.mark.parametrize("package", [sciml.pde, sciml.mri])
def test_every_name_is_there(package):
    for name in package.__all__:
        assert getattr(package, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = package.nothing


def test_the_data_modules_have_a_second_name():
    assert sciml.pde.PDEDataModule is sciml.pde.PDEData
    assert sciml.mri.MRIDataModule is sciml.mri.MRIData
