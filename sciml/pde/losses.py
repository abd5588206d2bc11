"""What a predicted field is trained to make small."""

from torch import Tensor, nn

from sciml.pde.metrics import is_zero, relative_l2_per_sample


class RelativeL2Loss(nn.Module):
    """Σ_t ‖prediction_t − target_t‖₂ / ‖target_t‖₂, the mean over the batch; (B, T, *grid) each.

    FNO's loss (Li et al., 2021). A frame whose target is zero everywhere counts nothing.
    """

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        errors = relative_l2_per_sample(prediction, target, batch_dims=2)
        return errors.masked_fill(is_zero(target, batch_dims=2), 0.0).sum(1).mean()
