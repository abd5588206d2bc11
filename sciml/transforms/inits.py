"""What `init` may say: a member, its word, a list of them for the heads, or one for each axis."""

from collections.abc import Sequence
from typing import Literal

from sciml.errors import ConfigError
from sciml.transforms.member import Member
from sciml.transforms.members import DCT, DFT, DST, Hadamard, Hartley, LocalDFT

Word = Literal["dft", "dct", "dst", "hartley", "hadamard", "local"]
Init = Member | Word | Sequence[Member | Word]


class ByAxis:
    """What the transforms of the axes of a field start from, where they differ.

    Args:
        inits: one for each axis.
    """

    def __init__(self, inits: list[Member | Word]) -> None:
        self.inits = list(inits)

    def __repr__(self) -> str:
        return f"ByAxis({self.inits})"


MEMBERS: dict[str, type[Member]] = {
    "dft": DFT, "dct": DCT, "dst": DST, "hartley": Hartley, "hadamard": Hadamard, "local": LocalDFT,
}  # fmt: skip


def as_members(init: Init) -> tuple[Member, ...]:
    """The members that `init` names: one, or one for each equal share of the heads. Raises ConfigError for others."""
    if isinstance(init, Member | str):
        return (_as_member(init),)
    if not init:
        raise ConfigError("init=[]: expected at least one member")
    return tuple(_as_member(one) for one in init)


def of_axes(init: Init | ByAxis, axes: int) -> list[Init]:
    """What each axis' transform starts from. Raises ConfigError for another number of axes."""
    if not isinstance(init, ByAxis):
        return [init] * axes
    if len(init.inits) != axes:
        raise ConfigError(f"init={init} for a field of {axes} axes: expected one member for each")
    return list(init.inits)


def _as_member(init: Member | str) -> Member:
    if isinstance(init, Member):
        return init
    if init not in MEMBERS:
        raise ConfigError(f"init={init!r}: expected one of {', '.join(MEMBERS)}, or an object such as Given(matrix)")
    return MEMBERS[init]()
