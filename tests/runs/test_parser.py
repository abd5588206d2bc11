"""Networks whose signatures contradict their defaults, read as they are and left as they are."""

import inspect
from typing import Any

import pytest
from neuralop.layers.spectral_convolution import SpectralConv
from neuralop.models import FNO, TFNO
from torch import nn
from torch.nn.functional import gelu

from sciml.runs.parser import Parser, parameters


class Net(FNO):
    def __init__(self, width: int = 4) -> None:
        super().__init__((4, 4), 1, 1, width, n_layers=1)


def parser_of(class_type: type, **options: Any) -> Parser:
    parser = Parser(exit_on_error=False)
    parser.add_class_arguments(class_type, **options)
    return parser


@pytest.mark.parametrize(("model", "factorization", "rank"), [(FNO, None, 1.0), (TFNO, "Tucker", 0.1)])
def test_defaults_are_the_classs_own(model: type, factorization: str | None, rank: float) -> None:
    given = ["--n_modes=[4, 4]", "--in_channels=1", "--out_channels=1", "--hidden_channels=4"]
    found = parser_of(model, fail_untyped=False).parse_args(given)
    assert (found.non_linearity, found.conv_module) == (gelu, SpectralConv)
    assert (found.factorization, found.rank) == (factorization, rank)
    nested = parser_of(model, nested_key="net", fail_untyped=False)
    assert nested.parse_args([word.replace("--", "--net.") for word in given]).net.rank == rank


def test_a_class_that_hands_no_keywords_on_has_its_own_arguments_alone() -> None:
    assert set(parser_of(Net).get_defaults().keys()) == {"width"}
    assert list(parameters(Net)) == ["width"]
    assert {"n_modes", "conv_module"} <= parameters(TFNO).keys()


def test_what_is_skipped_stays_out() -> None:
    assert "conv_module" not in parser_of(FNO, skip={"conv_module"}, fail_untyped=False).get_defaults()


def test_neuralop_is_left_as_it_is() -> None:
    parser_of(FNO, fail_untyped=False)
    assert "__signature__" not in vars(FNO.__init__)
    assert inspect.signature(FNO).parameters["conv_module"].annotation is nn.Module
    assert list(inspect.signature(TFNO.__init__).parameters) == ["self", "args", "kwargs"]
