"""A learned matrix on another grid over the same domain: its envelope, interpolated, times the new grid's carrier."""

import torch
from torch import Tensor

from sciml.kernels.arithmetic import real_part, times
from sciml.transforms.member import Member, Rows


def carried(learned: Tensor, member: Member, old: Rows, new: Rows, *, real: bool) -> Tensor:
    """The matrix (heads, m, n) of the rows `old` as one of the rows `new`: (heads, m', n') complex128, differentiable.

    The envelope is the ratio A/K of the matrix to the member's carrier K; of a real member, of which the start is
    A = Re K, it is that of A + i·Im K. Rows that the old matrix did not have are the member's own.

    Args:
        learned: A.
        member: what it started from.
        real: whether it is a synthesis that returns the real part (`Member.count`).
    """
    device = learned.device

    def carrier(rows: Rows) -> Tensor:
        return (member.carrier(rows) * member.count(rows, real=real)[:, None]).to(device)

    if member.real:
        learned = learned + 1j * carrier(old).imag
    envelope = _interpolated(times(learned, carrier(old).reciprocal()), member, old.size, new.size)
    shared = [j for j in new.indices if j in old.indices]
    to = torch.tensor([new.indices.index(j) for j in shared], device=device)
    known = envelope[:, [old.indices.index(j) for j in shared]]
    of_member = member.envelope(new)
    if of_member is None:
        of_member = torch.ones(len(new.indices), new.size)
    whole = of_member.to(device, torch.complex128).repeat(len(learned), 1, 1)
    found = times(whole.index_copy(1, to, known), carrier(new))
    return real_part(found) if member.real else found


def _interpolated(envelope: Tensor, member: Member, old: int, new: int) -> Tensor:
    """(heads, m, old) to (heads, m, new): linear over the domain, or over each of the blocks into which it is cut."""
    last, wanted = old // member.blocks - 1, new // member.blocks
    i = torch.arange(new, device=envelope.device)
    block, within = i // wanted * (last + 1), (i % wanted).double()
    position = ((within + member.offset) * (old / new) - member.offset).clamp(min=0, max=last)
    below = position.long()
    start = envelope[..., block + below]
    return start + times(position - below, envelope[..., block + (below + 1).clamp(max=last)] - start)
