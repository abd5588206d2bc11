"""What `--help` prints: short, and without importing torch. `--help full` asks the parsers themselves.

An entry is a key, its default in brackets (nothing: it must be given; none: left out), and what it does. A test holds
them against the constructors' signatures.
"""

from importlib import import_module
from pathlib import Path

from sciml.io.generator import Generator


def _declared() -> dict[str, Generator]:
    """What `sciml data` makes: of every application, a folder of sciml with a module `generators`."""
    folders = sorted(file.parent.name for file in Path(__file__).parents[1].glob("*/generators.py"))
    modules = [import_module(f"sciml.{folder}.generators") for folder in folders]
    return {name: made for module in modules for name, made in module.GENERATORS.items()}


GENERATORS = _declared()

COMMANDS = f"""\
usage: sciml COMMAND ...     (python -m sciml is the same; each command has its own --help)

  data {"|".join(GENERATORS)}   generate a data set
  fit CONFIG.yaml              train; writes a run directory, runs/<name of CONFIG>
  validate | test | predict RUN    evaluate the run's best checkpoint (test: metrics, predictions, figures)
  compare RUN...               a table of runs that `sciml test` has evaluated
  verify PATH...               look for damage in HDF5 files

Configurations to start from are in configs/. Exit status: 0; 1 bad data or divergence; 2 a wrong word or setting;
143, 130: stopped by SIGTERM or Ctrl-C, with a checkpoint. SCIML_DEBUG=1 shows where an error comes from.
"""

CLASSES = {"model": ("sciml.PDETask", "sciml.MRITask"), "data": ("sciml.PDEData", "sciml.MRIData")}

_PURPOSE = {
    "fit": ("CONFIG.yaml", "Train a network. Results go to a run directory, which is enough to repeat the run."),
    "validate": ("RUN", "Compute the validation metrics of a run's best checkpoint."),
    "test": ("RUN", "Evaluate a run's best checkpoint on the test data: metrics.json, predictions, figures."),
    "predict": ("RUN", "Write the predictions of a run's best checkpoint; the data need no targets."),
}

OPTIONS = """\
RUN is a run directory, CONFIG.yaml a file of the settings below (nested at the dots); either may come as --config.
Every setting may follow as --KEY VALUE, which wins. `--help full` lists all of them, those of the Trainer too.

Options
  -c, --config FILE     settings; of several files the later ones lie over the earlier
  --run_dir PATH        [runs/<name of FILE>] where results go
  --model.class_path    sciml.PDETask for fields, sciml.MRITask for images
  --data.class_path     sciml.PDEData for fields, sciml.MRIData for images
  --ckpt_path WHICH     [none] best, last, or a file. fit: continue from it; else: evaluate it
  --overwrite BOOL      [false] let fit replace a run
  --allow PACKAGE       let the settings name classes of your own PACKAGE; not recorded: say it each time
  --seed_everything N   [0] of the network's start
  --print_config        print all settings and stop
"""

MODEL = """\
model.KEY, for fields and images
  net                   the network, as class_path and init_args: one of those below, or of your own (--allow)
  optimizer             class_path and init_args of one of torch.optim
  scheduler             [none] sciml.training.schedules.OneCycle (pct_start [0.3]), Cosine or Halving (stages [5]),
                        stepped each training step; or one of torch.optim.lr_scheduler, stepped each epoch
                        (OneCycleLR, CyclicLR: each step; ReduceLROnPlateau: by the validation's metric)
  factor_lr             [none] learning rate of the learned transforms' factors; left out: the optimizer's
  factor_decay          [0.0] after each step, factor -= rate * factor_decay * (factor - DFT)
model.KEY, for fields alone
  loss                  [RelativeL2Loss()] sciml.pde.RelativeL2Loss: the sum over frames; or another class, by its path
  normalize             [false] the network works on (field - mean) / std of the training set
model.KEY, for images alone
  loss                  [SSIMLoss()] sciml.mri.SSIMLoss (1 - SSIM), torch.nn.L1Loss or torch.nn.MSELoss, of images
                        divided by the volume's maximum
"""

NETWORKS = """\
Networks for fields (model.net.class_path); also any neuralop.models.*, FNO, TFNO, UNO, ..., with their own init_args
 sciml.pde.fno     neuralop's FNO, with the transform of your choice
  n_modes               modes kept along each axis, both signs counted
  in_channels           channels in; for a rollout, the number of input frames
  out_channels          channels out; for a rollout, 1
  hidden_channels       width of the Fourier layers
  grid                  points along each axis of the training data
  transform             [fft] fft: fixed; monarch, dense: learned, starting as the DFT
  heads                 [none] groups of channels with a learned transform each; left out: one for each channel
  n_layers              [4] Fourier layers
  domain_padding        [none] zero padding on each side, as a fraction of the grid
  separable             [false] one weight for each mode and channel, not a channel matrix for each mode
Networks for images
 sciml.mri.Sense, sciml.mri.MoDL, sciml.mri.VarNet, sciml.mri.ImageUNet (chans, pools alone)
  fourier               the Fourier operator, sciml.mri.Fourier2d (below)
  start                 [none] MoDL, VarNet: the operator of the first iterate; this is where a learned one pays
  iterations            [10] MoDL: unrolled steps
  cg_iterations         [6] MoDL: steps of conjugate gradients in each
  initial_lambda        [0.05] MoDL: start of the weight of the denoiser
  cascades              [12] VarNet: unrolled steps
  chans                 [18] channels of the U-Nets (ImageUNet: 32)
  pools                 [4] their depth
  sens_chans            [8] VarNet: channels of the network for coil maps; 0: the data bring maps
  sens_pools            [4] VarNet: its depth
 sciml.mri.Fourier2d
  size                  (y, x) for which the factors are stored; other sizes are served too
  transform             [fft] fft: fixed; monarch, dense: learned, starting as the DFT
  heads                 [1] groups of coils with a transform each
  tied                  [true] the inverse is the adjoint; false: learned separately
  radix                 [none] monarch: the p to aim for in n = p q
"""

FIELDS_DATA = """\
data.KEY, for fields (HDF5 of `sciml data`, FNO's .mat, neuraloperator's .pt)
  path                  file with the training samples, and the test samples unless test_path is given
  n_train               the first samples, to train on
  n_test                the last samples, to test on
  n_val                 [0] the samples after the first n_train, to validate on
  test_path             [none] file with the test samples; its resolution may differ
  input_frames          [none] frames that the network sees; leave out for .pt pairs
  output_frames         [none] frames that follow, to be predicted; leave out for .pt pairs
  time_stride           [1] stored frames from one frame used to the next
  windows               [false] train on every start frame of a trajectory, not on the first alone
  augment               [none] sciml.pde.Symmetry: each training sample under a symmetry of its equation (our data)
  subsample             [1] points of the file to one point used, along each axis
  test_subsample        [none] the same for the test samples; left out: subsample
  grid                  [none] the grid that the network is made for, after subsampling; other data is refused
  batch_size            [20] samples to a batch, on each device
  num_workers           [0] loader processes
  seed                  [0] of the training order, with the epoch
"""

IMAGES_DATA = """\
data.KEY, for images (fastMRI's files, or those of `sciml data mri`)
  path                  folder with the split folders
  mask                  what undersamples: sciml.mri.Mask with kind [equispaced_fraction] (or equispaced, random,
                        magic, magic_fraction, poisson, file), center_fractions, accelerations, fixed_seed
  challenge             [multicoil] multicoil or singlecoil
  train_split           [none] folder within path; left out: <challenge>_train
  val_split             [none] likewise, _val
  test_split            [none] likewise, _test; fastMRI's has no targets: test on multicoil_val
  n_train               [none] first volumes by name to train on; left out: all
  n_val                 [none] likewise, to validate on; 0: no validation
  maps                  [none] coil maps that a batch brings: none, espirit, or file (sens_maps)
  augment               [none] sciml.mri.MovedObject with maps (file or espirit): the object moves in front of its coils
  batch_size            [1] most slices in a batch, on each device
  num_workers           [0] loader processes
  seed                  [0] of order, masks and augmentation while training
  skip_corrupt          [false] leave out damaged files, counted in the log
  cache_dir             [none] where the index and ESPIRiT's maps are kept; left out: the user's cache folder
"""

TRAINER = """\
trainer.KEY, Lightning's Trainer; among them
  max_epochs            epochs to train;  precision: 32-true, 64-true, bf16-mixed;  accelerator, devices: where
  gradient_clip_val     largest norm of the gradients;  accumulate_grad_batches: batches to a step
"""

_SUMMARIES = "\n".join(f"  {name:<21} {made.summary}" for name, made in GENERATORS.items())
DATA = f"""\
usage: sciml data {"|".join(GENERATORS)} --out PATH --KEY VALUE ...     (each has its own --help)

{_SUMMARIES}
"""

COMPARE = """\
usage: sciml compare RUN... [--out FILE.md] [--any-data]

A Markdown table of runs: parameters, errors, seconds an epoch, peak memory; and the settings in which they differ.

  RUN                   a run directory that `sciml test` has evaluated
  --out FILE.md         write the table to this file too
  --any-data            compare runs that were evaluated on different data too
"""

VERIFY = """\
usage: sciml verify PATH...

Read all of each HDF5 file and list what is damaged; exit status 1 if anything is.

  PATH                  a file, or a folder with .h5 files at any depth
"""


def asked(arguments: list[str]) -> str | None:
    """The help that the arguments ask for; None if they ask for none, or for the full list of a command.

    `--help`, `-h` and a leading `help` ask. Without arguments, or with an unknown command, it is that of all.
    """
    words = arguments[1:] if arguments[:1] == ["help"] else arguments
    wants = words is not arguments or "-h" in words or "--help" in words
    if not wants or full(arguments):
        return None
    command, name = [*(word for word in words if not word.startswith("-")), "", ""][:2]
    if command in _PURPOSE:
        return _training(command)
    if command == "data":
        return GENERATORS[name].help if name in GENERATORS else DATA
    return {"compare": COMPARE, "verify": VERIFY}.get(command, COMMANDS)


def full(arguments: list[str]) -> list[str] | None:
    """`fit ... --help full` as the `fit --help` of its parser; None if that is not what is asked."""
    words = arguments[1:] if arguments[:1] == ["help"] else arguments
    if "full" not in words or not (words is not arguments or "-h" in words or "--help" in words):
        return None
    named = [word for word in words if word not in ("full", "-h", "--help")]
    return [*(named or ["fit"]), "--help"]


def _training(command: str) -> str:
    operand, purpose = _PURPOSE[command]
    usage = f"usage: sciml {command} {operand} [--KEY VALUE]...\n\n{purpose}\n"
    return "\n".join([usage + OPTIONS, MODEL + NETWORKS + FIELDS_DATA + IMAGES_DATA + TRAINER])
