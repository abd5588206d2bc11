# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Reconstruction from a quarter of k-space
#
# A multi-coil scanner measures the Fourier transform of the object, seen through each coil's sensitivity. Measuring
# every fourth column is four times as fast, and folds the image over itself. Here the aliasing is removed by
# (1) nothing, (2) conjugate gradients and wavelets, (3) SENSE with a Fourier transform that learns, and (4) a
# variational network that starts from SENSE with the FFT or with Monarch transforms.
#
# **What this cannot show.** Simulated coils with known maps, few small subjects, minutes of training, one seed, rates
# that were not tuned here. The comparison that counts is in [docs/results/mri.md](../docs/results/mri.md).

# %%
# %matplotlib inline
import logging
import tempfile
import warnings
from pathlib import Path

import torch
from IPython.display import Markdown, display
from lightning.pytorch import Trainer

# %%
from sciml import MRIData, MRITask, plots
from sciml.cli.console import hide_irrelevant_warnings
from sciml.metrics import volume_metrics
from sciml.mri import Fourier2d, Mask, MovedObject, Sense, SSIMLoss, VarNet, fft2c, generate_mri
from sciml.mri.models.classical import CGSense, L1Wavelet
from sciml.training.schedules import OneCycle
from sciml.training.task import count_parameters

# %%
workspace = tempfile.TemporaryDirectory()  # removed with the kernel
folder = Path(workspace.name) / "brains"
logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
hide_irrelevant_warnings()  # small data need no worker processes; and the like
warnings.filterwarnings("ignore", "IProgress not found")

# %% [markdown]
# ## 1. Data
#
# Volumes in fastMRI's layout, from the MNI152 T1 template: each subject has a contrast, a shape, a phase and noise of
# its own, and is seen by the same eight coils. At a shell this is `sciml data mri`. With fastMRI on disk, `path` is
# its folder and nothing else changes.

# %%
generate_mri(str(folder), n_subjects=12, n_test=4, grid=96)
mask = Mask("equispaced", center_fractions=[0.08], accelerations=[4])
data = MRIData(str(folder), mask, n_val=0, maps="file", augment=MovedObject("file"))
data.setup()
test_set = list(data.test_dataloader())
batch = test_set[0]
print({name: tuple(value.shape) for name, value in batch._asdict().items() if isinstance(value, torch.Tensor)})

# %% [markdown]
# `augment` mirrors, shifts and rephases the object in front of the coils, which stay where they are: k-space of the
# moved subject is measured anew.
#
# ## 2. Without learning
#
# The encoding is `A = Sampling(mask) @ fourier @ Coils(maps)`, and zero-filled SENSE is `A.H(kspace)`: the aliased
# images of the coils, combined. CG-SENSE solves the least-squares problem, L1-wavelet looks for the image that is
# sparse in wavelets; both are sigpy's, and both know the true maps here.


# %%
def scores(image: torch.Tensor, target: torch.Tensor) -> dict[str, float]:
    return volume_metrics(target.numpy(), image.abs().numpy())


def show(net: torch.nn.Module, title: str) -> None:
    """The first test subject."""
    with torch.no_grad():
        zero_filled, image = (n(batch.kspace, batch.mask, batch.maps).abs() for n in (fixed, net))
    found = {"zero_filled": scores(zero_filled, batch.target), "reconstruction": scores(image, batch.target)}
    arrays = (a[0].numpy() for a in (batch.target, zero_filled, image))
    display(plots.reconstruction(*arrays, batch.mask[0, 0, 0].numpy(), scores=found, title=title))


fixed = Sense(Fourier2d((96, 96)))
show(CGSense(lam=3e-3), "CG-SENSE")
show(L1Wavelet(lam=1e-3), "L1-wavelet")

# %% [markdown]
# ## 3. A Fourier operator that learns
#
# `Fourier2d` is the operator of every network here. With `transform="monarch"` it is two Monarch transforms, along y
# and x, that *start* as exactly the centred orthonormal DFT; with `heads=8` each coil has its own. Its inverse is its
# adjoint, so that it stays the transform it is through every algorithm.

# %%
learned = Fourier2d((96, 96), transform="monarch", heads=8)
image = torch.randn(1, 8, 96, 96, dtype=torch.complex64)
with torch.no_grad():
    print(f"from the DFT, relative: {(learned(image) - fft2c(image)).norm() / image.norm():.1e}")
print(f"{count_parameters(learned.parameters()):,} parameters")

# %% [markdown]
# Monarch SENSE is zero-filled SENSE with that inverse transform, and nothing else: a linear map. Trained on
# undersampled data it combines neighbouring frequencies, as GRAPPA does, and so fills in what was not measured.


# %%
def train(net: torch.nn.Module, loss: torch.nn.Module, lr: float, factor_lr: float, epochs: int) -> torch.nn.Module:
    task = MRITask(net, lambda groups: torch.optim.Adam(groups, lr=lr), OneCycle(0.1), loss=loss, factor_lr=factor_lr)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    trainer = Trainer(max_epochs=epochs, enable_checkpointing=False, limit_val_batches=0, **quiet)
    trainer.fit(task, datamodule=data)
    return net.eval()


torch.manual_seed(0)
monarch_sense = train(Sense(learned), torch.nn.L1Loss(), lr=1e-2, factor_lr=1e-2, epochs=80)
show(monarch_sense, "Monarch SENSE")

# %% [markdown]
# What it has learned (see `learned_factors` for how to read it): the rows have grown where the object is, and the
# energy of each row has spread to its neighbours and along lines parallel to the diagonal, the blocks of the Monarch
# product.

# %%
plots.factors(monarch_sense)

# %% [markdown]
# ## 4. VarNet, and its Monarch twin
#
# The variational network alternates a step toward the measured data with a U-Net. What it starts from is a SENSE
# prediction of the samples that are missing: with the FFT, or with Monarch transforms, which is where they help most
# ([decision 8](../docs/decisions/0008-where-a-learned-transform-pays.md)). Both twins start as the same function: the
# same seed gives the same U-Nets, and Monarch starts as the FFT.

# %%
varnets = {}
for name in ("fft", "monarch"):
    torch.manual_seed(0)
    start = Fourier2d((96, 96), transform=name, heads=1 if name == "fft" else 8)
    net = VarNet(Fourier2d((96, 96)), start=start, cascades=2, chans=6, pools=3, sens_chans=0)
    varnets[name] = train(net, SSIMLoss(), lr=3e-3, factor_lr=1e-2, epochs=20)

# %% [markdown]
# ## 5. All of them
#
# Means over the test subjects, NMSE, PSNR and SSIM as fastMRI defines them.

# %%
contenders = {
    "zero-filled SENSE": fixed,
    "CG-SENSE": CGSense(lam=3e-3),
    "L1-wavelet": L1Wavelet(lam=1e-3),
    "Monarch SENSE": monarch_sense,
    "VarNet, FFT": varnets["fft"],
    "VarNet, Monarch": varnets["monarch"],
}
table = "| method | parameters | NMSE | PSNR | SSIM |\n|---|---:|---:|---:|---:|\n"
for name, net in contenders.items():
    found = []
    for b in test_set:
        with torch.no_grad():
            found.append(scores(net(b.kspace, b.mask, b.maps), b.target))
    nmse, psnr, ssim = (sum(f[key] for f in found) / len(found) for key in ("nmse", "psnr", "ssim"))
    table += f"| {name} | {count_parameters(net.parameters()):,} | {nmse:.4f} | {psnr:.2f} | {ssim:.4f} |\n"
Markdown(table)

# %% [markdown]
# Two things to take away. A transform that learns turns the simplest linear reconstruction, zero-filled SENSE, into
# one that removes most of the aliasing, without a network. And with exact coil maps and little noise, a good classical
# method is hard to beat with twelve subjects: state one beside every network.
