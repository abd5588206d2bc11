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
# # What the learned transforms have learned
#
# Every Monarch transform in this library starts as exactly the DFT. After training, how far from it is it, and where
# to has it gone? The same picture answers for a PDE and for MRI. Four panels, for the matrix $A$ of one axis, whose
# row $f$ was $F_{fn} = e^{-2\pi i f n/N}/\sqrt N$:
#
# 1. $\sqrt N\,|A|$: the modulus of each entry. The DFT's is 1 everywhere: a wave is equally strong at all points.
# 2. $\sqrt N\,|A - F|$: all that has changed, 0 at the start.
# 3. $|A F^H|^2$: how the energy of a learned row spreads over the Fourier modes; for the DFT a diagonal.
# 4. The leak: the share of a row's energy outside of its own mode, 0 at the start, over the heads.

# %%
# %matplotlib inline
import logging
import tempfile
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from lightning.pytorch import Trainer

# %%
from sciml import MRIData, MRITask, PDEData, PDETask, plots
from sciml.cli.console import hide_irrelevant_warnings
from sciml.mri import Fourier2d, Mask, MovedObject, Sense, generate_mri
from sciml.pde import fno, generate_burgers, monarchize
from sciml.training.schedules import OneCycle
from sciml.transforms import Transform

# %%
workspace = tempfile.TemporaryDirectory()  # removed with the kernel
folder = Path(workspace.name)
logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
hide_irrelevant_warnings()  # small data need no worker processes; and the like
warnings.filterwarnings("ignore", "IProgress not found")
QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False, "enable_checkpointing": False}

# %% [markdown]
# ## Burgers between walls
#
# The values at the walls differ, so the periodic continuation that a Fourier series assumes jumps there.

# %%
path = str(folder / "burgers.h5")
generate_burgers(path, n_samples=350, viscosity=0.01, grid=128, solver_grid=256, dt=1e-3, n_frames=2)
walls = PDEData(path, n_train=300, n_test=50, input_frames=1, output_frames=1)
torch.manual_seed(0)
operator = monarchize(
    fno(n_modes=[32], in_channels=1, out_channels=1, hidden_channels=32, grid=[128]), grid=128, heads=32
)
task = PDETask(operator, lambda groups: torch.optim.Adam(groups, lr=1e-2), OneCycle(), factor_lr=3e-3)
Trainer(max_epochs=15, limit_val_batches=0, **QUIET).fit(task, datamodule=walls)
plots.factors(operator)

# %% [markdown]
# In the first layer's analysis, the rows have changed most at both ends of the grid, next to the walls: there the
# learned waves bend away from periodic ones. Their energy leaks into neighbouring modes and into the constant, and
# along faint parallel lines: the blocks of the Monarch product.
#
# ## SENSE from every fourth column
#
# Now the transform along x stands between undersampled k-space and the image. Here the network gains by leaving the
# DFT: the missing columns have to be made from the measured ones.

# %%
generate_mri(str(folder / "brains"), n_subjects=8, n_test=1, grid=96)
mask = Mask("equispaced", center_fractions=[0.08], accelerations=[4])
brains = MRIData(str(folder / "brains"), mask, n_val=0, maps="file", augment=MovedObject("file"))
torch.manual_seed(0)
sense = Sense(Fourier2d((96, 96), transform="monarch", heads=8))
task = MRITask(
    sense, lambda groups: torch.optim.Adam(groups, lr=1e-2), OneCycle(0.1), loss=torch.nn.L1Loss(), factor_lr=1e-2
)
Trainer(max_epochs=100, limit_val_batches=0, **QUIET).fit(task, datamodule=brains)
plots.factors(sense)

# %% [markdown]
# The rows have grown where the object is, by about the factor that undersampling took away, and not at the centre of
# k-space, where nothing is missing. The leak oscillates with the block size of the factors, not with the four of the
# sampling pattern.
#
# ## Each axis and each coil
#
# Heads are free to differ. How far has each coil's transform moved, ‖A − F‖/‖F‖, along y, where every line was
# measured, and along x?


# %%
def moved(transform: Transform) -> list[float]:
    """For each head."""
    start = transform.initial_matrix()
    with torch.no_grad():
        change = transform.as_matrix() - start
    return [float(head.norm() / start.norm() * start.shape[0] ** 0.5) for head in change]


along_y, along_x = (moved(transform) for transform in sense.fourier.analysis)
figure, ax = plt.subplots(figsize=(6, 2.5), layout="constrained")
ax.plot(along_y, "o-", label="along y, fully sampled")
ax.plot(along_x, "o-", label="along x, every fourth column")
ax.set(xlabel="coil", ylabel="‖A − F‖ / ‖F‖", ylim=(0, None))
ax.legend()
plt.show()
