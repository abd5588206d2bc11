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
# # An FNO whose Fourier transform learns
#
# An FNO transforms its channels with the FFT, multiplies the lowest modes by learned weights, and transforms back.
# The FFT is a choice: it is the right basis where the domain is a torus, and a poor one where there are walls.
# Here it is replaced by **Monarch** transforms: products of two block-diagonal matrices which *start* as exactly the
# DFT and are then trained along with everything else.
#
# You will (1) generate two small data sets, (2) turn a `neuralop` FNO into its Monarch twin and see that nothing has
# changed yet, (3) train both, (4) look at fields, spectra and learned factors, and (5) evaluate at resolutions that
# neither has seen.
#
# **What this cannot show.** One seed, minutes of training, few samples, learning rates that were not tuned here: the
# numbers below illustrate, they do not prove. The comparison that counts, with a tuned baseline and three seeds, is
# in [docs/results](../docs/results/README.md).

# %%
# %matplotlib inline
import copy
import logging
import tempfile
from pathlib import Path

import torch
from IPython.display import Markdown, display
from lightning.pytorch import Trainer

# %%
import sciml
from sciml import PDEData, PDETask, plots
from sciml.cli import main
from sciml.cli.console import hide_irrelevant_warnings
from sciml.metrics import energy_spectrum, power_spectrum, relative_l2, relative_l2_per_sample
from sciml.pde import fno, generate_burgers, generate_navier_stokes, monarchize, read_evaluation
from sciml.runs import compare
from sciml.training.schedules import OneCycle
from sciml.training.task import count_parameters

# %%
# Section 6 needs the configurations of the repository: above this folder, or beside the installed package.
places = [place / "configs" / "pde" for place in (Path.cwd(), *Path.cwd().parents, Path(sciml.__file__).parents[1])]
configs = next((place for place in places if (place / "navier_stokes_quick_fft.yaml").exists()), None)
if configs is None:
    raise FileNotFoundError(f"no configs/pde above {Path.cwd()}: start the notebook in a checkout of the repository")

workspace = tempfile.TemporaryDirectory()  # removed with the kernel
folder = Path(workspace.name)
logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
hide_irrelevant_warnings()  # all data is in memory, so worker processes only cost time; and the like

# %% [markdown]
# ## 1. Data
#
# **Burgers between walls**, $u_t + (u^2/2)_x = \nu u_{xx}$: the values at the two walls are drawn for each sample and
# differ, so the periodic continuation that a Fourier series assumes jumps there. The network maps $u(t=0)$ to
# $u(t=1)$. **Navier–Stokes** on a torus, as in the FNO paper: ten frames of vorticity in, the next ten out. Here
# Fourier is at home, and there is little to gain.
#
# The files hold 256 cells and 64² points; we train on every second one and keep the rest for section 5. At a shell
# these are `sciml data burgers` and `sciml data navier-stokes`.

# %%
burgers, flow = str(folder / "burgers.h5"), str(folder / "navier_stokes.h5")
generate_burgers(burgers, n_samples=500, viscosity=0.01, grid=256, solver_grid=256, dt=1e-3, n_frames=2)
generate_navier_stokes(flow, n_samples=80, viscosity=1e-3, grid=64, solver_grid=64, t_final=20, dt=1e-2)


# %%
def burgers_data(test_subsample: int) -> PDEData:
    """Trains on 128 cells: every cell is the mean of two stored ones."""
    data = PDEData(
        burgers, n_train=400, n_test=100, input_frames=1, output_frames=1, subsample=2, test_subsample=test_subsample
    )
    data.setup()
    return data


data = burgers_data(test_subsample=2)
print("training grid:", data.grid, " frame times:", data.input_time, "->", data.time)

# %% [markdown]
# ## 2. The network and its twin
#
# `fno` returns `neuralop.models.FNO`, the real one. `monarchize` takes any `neuralop` model, trained or not, and
# replaces each `SpectralConv` by a layer with the same weights whose transforms are learnable. `heads` is the number
# of channel groups with transforms of their own: with 32 heads, each of the 32 channels learns its own basis.

# %%
torch.manual_seed(0)
fft = fno(n_modes=[32], in_channels=1, out_channels=1, hidden_channels=32, grid=[128])
monarch = monarchize(copy.deepcopy(fft), grid=128, heads=32)
for net in (fft, monarch):
    layer = type(net.fno_blocks.convs[0]).__name__
    print(f"{type(net).__name__} of {layer}s: {count_parameters(net.parameters()):,} parameters")

# %% [markdown]
# The twin has many more parameters, most of them in the factors of 32 heads, and so a larger FFT network belongs in a
# fair comparison: `docs/results/burgers.md` has it. At this moment, though, the two are one function, up to rounding in
# float32: they start from the same place.

# %%
test_set = next(iter(data.test_dataloader()))
with torch.no_grad():
    print(f"relative difference: {relative_l2(monarch(test_set.input), fft(test_set.input)):.1e}")

# %% [markdown]
# ## 3. Training
#
# `PDETask` is an ordinary `LightningModule`, so the `Trainer` is yours. The factors get a learning rate of their own
# (`factor_lr`), and no weight decay: decay would pull them to zero, away from the DFT. A network with the fixed FFT
# has no factors, so one recipe serves both. The rates are those of `configs/pde/burgers_quick_*.yaml`.


# %%
def train(net: torch.nn.Module) -> PDETask:
    task = PDETask(net, lambda groups: torch.optim.Adam(groups, lr=1e-2), OneCycle(), factor_lr=3e-3)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    trainer = Trainer(max_epochs=20, enable_checkpointing=False, **quiet)
    trainer.fit(task, datamodule=data)
    print(f"relative L2 of the last epoch's training batches: {trainer.callback_metrics['train_loss']:.4f}")
    return task.eval()


tasks = {"FFT": train(fft), "Monarch": train(monarch)}

# %% [markdown]
# ## 4. What came out
#
# First the fields: three test samples. Compare the lower panels: how large the error is, and how much it wiggles
# where the solution is smooth.


# %%
@torch.no_grad()
def predict(task: PDETask, data: PDEData) -> tuple[torch.Tensor, torch.Tensor]:
    """Prediction and truth, (sample, 1, x), for the whole test set."""
    batches = list(data.test_dataloader())
    prediction = torch.cat([task.rollout(batch.input, n_steps=1) for batch in batches])
    return prediction, torch.cat([batch.target for batch in batches])


x = (torch.arange(128) + 0.5) / 128  # cell centres
predictions = {name: predict(task, data)[0] for name, task in tasks.items()}
truth = predict(tasks["FFT"], data)[1]

# %%
figure = plots.profiles(x, truth[:3, 0], predictions["FFT"][:3, 0], initial=test_set.input[:3, 0])
figure.suptitle("FFT")
display(figure)

# %%
figure = plots.profiles(x, truth[:3, 0], predictions["Monarch"][:3, 0], initial=test_set.input[:3, 0])
figure.suptitle("Monarch")
display(figure)

# %% [markdown]
# The spectrum tells which scales are right. Between walls it is a cosine spectrum, so that unequal ends do not look
# like a jump. Relative L2 is decided by the first few waves; the small scales are where networks go wrong unseen.

# %%
spectra = {name: power_spectrum(p[:, 0], dims=1, periodic=False) for name, p in predictions.items()}
plots.spectra(
    power_spectrum(truth[:, 0], dims=1, periodic=False),
    spectra,
    shells=127,
    ylabel="power of u at t = 1",
    xlabel="half waves across the domain",
)

# %% [markdown]
# **What the factors have learned**, in the first and the last layer. Left to right: the envelope of each row over the
# grid, for the head that changed most (the DFT's is 1 everywhere); all that changed; how the energy of a row spreads
# over the Fourier modes (the DFT: a diagonal); and the share of energy that has left a row's own mode, over the heads
# (the DFT: zero). What to look for: most has changed at the ends of the grid, near the walls, and much of the energy
# that left its mode went to the constant ($f = 0$) or, as faint parallel lines, where the blocks of the Monarch product
# allow it.

# %%
plots.factors(monarch)

# %% [markdown]
# ## 5. Another resolution, without training
#
# The FFT exists at every size. A learned transform has to be carried over: what it learned is the ratio of its
# entries to the DFT's, an envelope over the domain, which is interpolated and applied to the DFT of the new size. An
# untrained transform thereby becomes exactly the new DFT. The nets saw 128 cells only; nothing is trained here.
#
# A learned basis has a price, and it is here: the FFT's error hardly depends on the grid, while Monarch's is lowest
# where it was trained, and a little higher on coarser and finer grids.

# %%
table = "| cells | " + " | ".join(tasks) + " |\n|---:|---:|---:|\n"
for subsample in (4, 2, 1):
    other = burgers_data(test_subsample=subsample)
    errors = [relative_l2(*predict(task, other)) for task in tasks.values()]
    table += f"| {other.test_grid[0]} | " + " | ".join(f"{error:.4f}" for error in errors) + " |\n"
Markdown(table)

# %% [markdown]
# ## 6. A rollout: Navier–Stokes from configuration files
#
# The same at a shell is `sciml fit --config configs/pde/navier_stokes_quick_fft.yaml`, then `sciml test`; the Monarch
# configuration differs in one line, `transform: monarch`. The network predicts one frame from the last ten and is fed
# its own output, in training as well. A run leaves a directory with settings, checkpoints, metrics, predictions and
# figures, from which it can be understood and repeated. Any setting can be changed on the command line, here the data
# and their resolution.


# %%
def command(*words: str) -> None:
    """`sciml` and these words; what it says of an error stands above the exception."""
    if status := main(list(words)):
        raise RuntimeError(f"sciml {' '.join(words)}: exit status {status}")


runs = {"FFT": folder / "fft", "Monarch": folder / "monarch"}
for name, run in runs.items():
    config = configs / f"navier_stokes_quick_{name.lower()}.yaml"
    changes = ["--data.path", flow, "--data.subsample", "2"]
    quiet = ["--trainer.enable_progress_bar", "false"]
    command("fit", "--config", str(config), "--run_dir", str(run), *changes, *quiet)
    command("test", "--config", str(run / "config.yaml"), "--verbose", "false")

# %% [markdown]
# `sciml compare` puts runs into one table. (Peak memory is the process's; both runs share this kernel, so it says
# nothing here.)

# %%
Markdown(compare(list(runs.values())))

# %%
evaluations = {name: read_evaluation(run) for name, run in runs.items()}
first = evaluations["Monarch"]
plots.rollout(first.target[0], first.prediction[0], first.time, steps=[0, 3, 6, 9])

# %% [markdown]
# Each frame is built on predicted ones, so errors are carried along. The band is the spread over the test samples:
# where two bands overlap as these do, 16 samples and one seed cannot tell the networks apart. On a torus the FFT may
# well be ahead.

# %%
errors = {name: relative_l2_per_sample(e.prediction, e.target, batch_dims=2) for name, e in evaluations.items()}
plots.error_against_time(errors, first.time)

# %% [markdown]
# The flow is viscous: beyond a few waves there is hardly any energy, and relative L2 does not notice what the networks
# put there. The spectrum does. More data and longer training bring the two closer.

# %%
energies = {name: energy_spectrum(e.prediction[:, -1]) for name, e in evaluations.items()}
plots.spectra(energy_spectrum(first.target[:, -1]), energies, shells=16, ylabel="kinetic energy E(k), t = 20")

# %% [markdown]
# Another resolution is one setting away: the test set at 64², for networks trained at 32².

# %%
for name, run in runs.items():
    arguments = ["--config", str(run / "config.yaml"), "--run_dir", str(folder / f"{name}_64"), "--verbose", "false"]
    trained = ["--ckpt_path", str(run / "checkpoints" / "last.ckpt")]
    command("test", *arguments, *trained, "--data.test_subsample", "1")
    at_64 = read_evaluation(folder / f"{name}_64").info["relative_l2"]
    print(f"{name}: {evaluations[name].info['relative_l2']:.4f} at 32², {at_64:.4f} at 64²")

# %% [markdown]
# ## Where to go from here
#
# - Your own `neuralop` model: `monarchize(model, grid)`, then train with `PDETask`, or with your own loop and
#   `sciml.transforms.factor_parameters(model)` as a parameter group of its own.
# - Your own data: arrays by `PDEData.from_arrays`; files in the formats of [data/README.md](../data/README.md) (ours,
#   FNO's `.mat`, neuraloperator's `.pt`).
# - A trained run in Python: `sciml.load(run)` is its task.
# - The full protocols: [configs/pde](../configs/pde); what they give: [docs/results](../docs/results/README.md).
