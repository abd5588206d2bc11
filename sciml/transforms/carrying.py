"""A learned kernel on another grid over the same domain: its envelope, interpolated, times the new grid's carrier."""

import torch
from torch import Tensor

from sciml.kernels.arithmetic import times
from sciml.transforms.member import Member, Rows


def carried(learned: Tensor, member: Member, old: Rows, new: Rows, *, real: bool) -> Tensor:
    """The kernel (heads, m, n) of the rows `old` as one of the rows `new`: (heads, m', n') complex128, differentiable.

    Rows that the old kernel did not have are the member's own.

    Args:
        learned: points in the grid's order.
        member: what it started from.
        real: whether it is a synthesis that returns the real part (`Member.count`).
    """
    device = learned.device

    def carrier(rows: Rows) -> Tensor:
        return (member.carrier(rows) * member.count(rows, real=real)[:, None]).to(device)

    envelope = _interpolated(times(learned, carrier(old).reciprocal()), member, old.size, new.size)
    shared = [j for j in new.indices if j in old.indices]
    to = torch.tensor([new.indices.index(j) for j in shared], device=device)
    known = envelope[:, [old.indices.index(j) for j in shared]]
    of_member = member.envelope(new)
    if of_member is None:
        of_member = torch.ones(len(new.indices), new.size)
    whole = of_member.to(device, torch.complex128).repeat(len(learned), 1, 1)
    return times(whole.index_copy(1, to, known), carrier(new))


def _interpolated(envelope: Tensor, member: Member, old: int, new: int) -> Tensor:
    """(heads, m, old) to (heads, m, new): linear in i/n within each of the member's pieces of the grid."""
    position = torch.arange(new, dtype=torch.float64, device=envelope.device) * old / new
    below, above = torch.empty_like(position, dtype=torch.long), torch.empty_like(position, dtype=torch.long)
    weight = torch.empty_like(position)
    for points, wanted in zip(member.pieces(old), member.pieces(new), strict=True):
        last = max(len(points) - 1, 0)
        here = slice(wanted.start, wanted.stop, wanted.step)
        steps = ((position[here] - points.start) / points.step).clamp(min=0)
        first = steps.long().clamp(max=last)
        weight[here] = steps - first
        below[here] = (points.start + points.step * first).clamp(max=old - 1)  # of one point, it is in every piece
        above[here] = (points.start + points.step * (first + 1).clamp(max=last)).clamp(max=old - 1)
    start = envelope[..., below]
    return start + times(weight, envelope[..., above] - start)
