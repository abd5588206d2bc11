"""Where a network that an earlier version pickled whole looks for itself."""

from sciml.errors import CheckpointError


def _restored(model: type) -> None:
    raise CheckpointError(
        f"{model.__name__}: pickled whole by an earlier version of sciml, whose modules have moved: build the network"
        " anew and load its state dict, or the checkpoint of its run"
    )
