"""Two factors between two sides: one multilinear form, and everything that autograd asks of it.

The truncated transform of two axes and the full-spectrum Monarch product of one are each a form

    φ(x, a, b, y) = Re Σ conj(y)·a·b·x

with x on the side of the grid, y on the side of the spectrum, and two learnable factors a and b. The analysis is ∂φ/∂y,
the synthesis by the adjoint ∂φ/∂x, the gradients of the factors ∂φ/∂a and ∂φ/∂b; and since φ is linear in each slot,
a derivative of a derivative is again one of them, with the cotangent in the place of the slot. So an implementation
offers the four derivatives, and autograd to any order is written once, here.

Complex numbers cross these ops as pairs of reals, which is what compilers and Triton take.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

X, Y, A, B = range(4)
_APPLY = "(Tensor x, Tensor? a, Tensor b, str backend) -> Tensor"
_ADJOINT = "(Tensor y, Tensor? a, Tensor b, Tensor? bias, Tensor? skip, str backend)"
_DERIVATIVES = "(Tensor x, Tensor y, Tensor? a, Tensor b, bool[] want, str backend) -> (Tensor, Tensor, Tensor, Tensor)"

# (x, y, a, b, want, **options) to ∂φ/∂(x, y, a, b), as real pairs where the slot is complex; None where not wanted
Derivatives = Callable[..., tuple[Tensor | None, ...]]


class Form:
    """Registers `sciml::NAME_apply`, `NAME_adjoint`, `NAME_adjoint_gelu` and `NAME_derivatives`.

    The adjoint adds what a layer adds while its result is at hand: x = ∂φ/∂x + bias + skip. `adjoint_gelu` returns
    GELU(x) and x, which its backward needs.

    Args:
        name: of the ops.
        choose: the implementation for data of some device and type, and a backend.
        shape_of_x, shape_of_y: the shape of one side, from the other side and the factors.
    """

    def __init__(
        self,
        name: str,
        choose: Callable[[Tensor, str], Derivatives],
        shape_of_x: Callable[[Tensor, Tensor | None, Tensor], tuple[int, ...]],
        shape_of_y: Callable[[Tensor, Tensor | None, Tensor], tuple[int, ...]],
    ) -> None:
        self._choose, self._shape_of_x, self._shape_of_y = choose, shape_of_x, shape_of_y

        def op(which: str, function: Callable[..., Any], schema: str) -> Any:
            return torch.library.custom_op(f"sciml::{name}_{which}", function, mutates_args=(), schema=schema)

        self.apply = op("apply", self._apply, _APPLY)
        self.adjoint = op("adjoint", self._adjoint, f"{_ADJOINT} -> Tensor")
        self.adjoint_gelu = op("adjoint_gelu", self._adjoint_gelu, f"{_ADJOINT} -> (Tensor, Tensor)")
        self.derivatives = op("derivatives", self._run, _DERIVATIVES)
        self.apply.register_fake(lambda x, a, b, backend: x.new_empty(shape_of_y(x, a, b)))
        self.adjoint.register_fake(lambda y, a, b, *_: y.new_empty(shape_of_x(y, a, b)))
        self.adjoint_gelu.register_fake(lambda y, a, b, *_: tuple(y.new_empty(shape_of_x(y, a, b)) for _ in range(2)))
        self.derivatives.register_fake(_fake_derivatives)
        self.apply.register_autograd(self._apply_backward, setup_context=_save)
        self.adjoint.register_autograd(self._adjoint_backward, setup_context=_save_adjoint)
        self.adjoint_gelu.register_autograd(self._adjoint_gelu_backward, setup_context=_save_adjoint)
        self.derivatives.register_autograd(self._derivatives_backward, setup_context=_save_derivatives)

    def _apply(self, x: Tensor, a: Tensor | None, b: Tensor, backend: str) -> Tensor:
        return self._run(x, None, a, b, (False, True, False, False), backend)[Y]

    def _adjoint(
        self, y: Tensor, a: Tensor | None, b: Tensor, bias: Tensor | None, skip: Tensor | None, backend: str
    ) -> Tensor:
        return self._run(None, y, a, b, (True, False, False, False), backend, **_given(bias=bias, skip=skip))[X]

    def _adjoint_gelu(
        self, y: Tensor, a: Tensor | None, b: Tensor, bias: Tensor | None, skip: Tensor | None, backend: str
    ) -> tuple[Tensor, Tensor]:
        gelu = y.new_empty(self._shape_of_x(y, a, b))
        options = _given(bias=bias, skip=skip, gelu=gelu)
        return gelu, self._run(None, y, a, b, (True, False, False, False), backend, **options)[X]

    def _run(
        self,
        x: Tensor | None,
        y: Tensor | None,
        a: Tensor | None,
        b: Tensor,
        want: Sequence[bool],
        backend: str,
        **options: Tensor,
    ) -> tuple[Tensor, ...]:
        data = x if x is not None else y
        assert data is not None
        # Triton launches on the current device, which need not be that of the data.
        with torch.no_grad(), torch.autocast(data.device.type, enabled=False), torch.cuda.device_of(data):
            found = self._choose(data, backend)(x, y, a, b, want, **options)
        return tuple(data.new_empty(0) if d is None else d.contiguous() for d in found)

    def _apply_backward(self, ctx: Any, y: Tensor) -> tuple:
        x, a, b = ctx.saved_tensors
        dx, da, db, _ = ctx.needs_input_grad
        found = self.derivatives(x, y, a, b, [dx, False, da, db], ctx.backend)
        return _where((dx, da, db), (found[X], found[A], found[B]))

    def _adjoint_backward(self, ctx: Any, x: Tensor, saved: Sequence[Tensor] | None = None) -> tuple:
        y, a, b, *_ = saved or ctx.saved_tensors
        dy, da, db, d_bias, d_skip, _ = ctx.needs_input_grad
        found = self.derivatives(x, y, a, b, [False, dy, da, db], ctx.backend)
        bias = x.sum_to_size(ctx.bias_shape) if d_bias else None
        return _where((dy, da, db, d_bias, d_skip), (found[Y], found[A], found[B], bias, x))

    def _adjoint_gelu_backward(self, ctx: Any, gelu: Tensor | None, x: Tensor | None) -> tuple:
        saved = ctx.saved_tensors  # read once: activation checkpointing hands them out a single time
        total = None if gelu is None else torch.ops.aten.gelu_backward(gelu, saved[-1])
        if x is not None:
            total = x if total is None else total + x
        return (None,) * 6 if total is None else self._adjoint_backward(ctx, total, saved)

    def _derivatives_backward(self, ctx: Any, *cotangents: Tensor | None) -> tuple:
        """Σ over the slots i that were derived: φ with the cotangent in slot i, derived in the others."""
        slots = ctx.saved_tensors
        needed = ctx.needs_input_grad[:4]
        total: list[Tensor | None] = [None] * 4
        for i, cotangent in enumerate(cotangents):
            want = [n and j != i for j, n in enumerate(needed)]
            if not ctx.want[i] or cotangent is None or not any(want):
                continue
            x, y, a, b = (cotangent if j == i else slot for j, slot in enumerate(slots))
            found = self.derivatives(x, y, a, b, want, ctx.backend)
            for j in range(4):
                if want[j]:
                    total[j] = found[j] if total[j] is None else total[j] + found[j]
        return (*total, None, None)


def _where(needed: Sequence[bool], found: Sequence[Tensor | None]) -> tuple:
    return (*(d if n else None for n, d in zip(needed, found, strict=True)), None)


def _save(ctx: Any, inputs: tuple, output: Tensor) -> None:
    *tensors, ctx.backend = inputs
    ctx.save_for_backward(*tensors)


def _save_adjoint(ctx: Any, inputs: tuple, output: Tensor | tuple[Tensor, Tensor]) -> None:
    *tensors, bias, _, ctx.backend = inputs
    ctx.bias_shape = None if bias is None else bias.shape
    ctx.set_materialize_grads(not isinstance(output, tuple))
    ctx.save_for_backward(*tensors, output[1] if isinstance(output, tuple) else None)


def _given(**options: Tensor | None) -> dict[str, Tensor]:
    return {name: value for name, value in options.items() if value is not None}


def _save_derivatives(ctx: Any, inputs: tuple, output: tuple) -> None:
    *tensors, ctx.want, ctx.backend = inputs
    ctx.save_for_backward(*tensors)


def _fake_derivatives(
    x: Tensor, y: Tensor, a: Tensor | None, b: Tensor, want: Sequence[bool], backend: str
) -> tuple[Tensor, ...]:
    slots = (x, y, a, b)
    return tuple(
        torch.empty_like(slot, memory_format=torch.contiguous_format) if w and slot is not None else x.new_empty(0)
        for w, slot in zip(want, slots, strict=True)
    )
