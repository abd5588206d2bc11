import subprocess
import sys

import pytest

import sciml
import sciml.mri
import sciml.pde


@pytest.mark.parametrize("package", [sciml, sciml.pde, sciml.mri])
def test_every_name_is_there(package):
    for name in package.__all__:
        assert getattr(package, name).__name__ == name.removesuffix("Module")
    with pytest.raises(AttributeError, match="attribute nothing"):
        _ = package.nothing


def test_the_data_modules_have_a_second_name():
    assert sciml.pde.PDEDataModule is sciml.pde.PDEData
    assert sciml.mri.MRIDataModule is sciml.mri.MRIData


def test_the_root_imports_nothing_before_it_is_used():
    code = "import sys, sciml; assert not {'torch', 'lightning', 'numpy', 'jsonargparse'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
