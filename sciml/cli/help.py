"""What `--help` prints: short, and without importing torch. `--help full` asks the parsers themselves.

An entry is a key, its default in brackets (nothing: it must be given; none: left out), and what it does. A test holds
them against the constructors' signatures.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

from sciml.io.generator import Generator


def _declared(name: str) -> list[Any]:
    """The modules of this name: an application is a folder of sciml, and says itself what it takes and makes."""
    folders = sorted(file.parent.name for file in Path(__file__).parents[1].glob(f"*/{name}.py"))
    return [import_module(f"sciml.{folder}.{name}") for folder in folders]


APPLICATIONS = _declared("application")
CLASSES = {"model": [of.TASK for of in APPLICATIONS], "data": [of.DATA for of in APPLICATIONS]}
GENERATORS: dict[str, Generator] = {}
for _module in _declared("generators"):
    GENERATORS |= _module.GENERATORS


def _for_each(key: str) -> str:
    """Its class for each application, two to a line."""
    words = [f"{path} for {of.KIND}" for path, of in zip(CLASSES[key], APPLICATIONS, strict=True)]
    lines = [", ".join(words[k : k + 2]) for k in range(0, len(words), 2)]
    return (",\n" + 24 * " ").join(lines)


COMMANDS = f"""\
usage: sciml COMMAND ...     (python -m sciml is the same; each command has its own --help)

  data {"|".join(GENERATORS)}   generate a data set
  fit CONFIG.yaml              train; writes a run directory, runs/<name of CONFIG>
  validate | test | predict RUN    evaluate the run's best checkpoint (test: metrics, predictions, figures)
  compare RUN...               a table of runs that `sciml test` has evaluated
  study FILE.yaml              a tuned comparison: learning rates, seeds, budgets, equal time
  verify PATH...               look for damage in HDF5 files

Configurations to start from are in configs/. Exit status: 0; 1 bad data or divergence; 2 a wrong word or setting;
143, 130: stopped by SIGTERM or Ctrl-C, with a checkpoint. SCIML_DEBUG=1 shows where an error comes from.
"""

_PURPOSE = {
    "fit": ("CONFIG.yaml", "Train a network. Results go to a run directory, which is enough to repeat the run."),
    "validate": ("RUN", "Compute the validation metrics of a run's best checkpoint."),
    "test": ("RUN", "Evaluate a run's best checkpoint on the test data: metrics.json, predictions, figures."),
    "predict": ("RUN", "Write the predictions of a run's best checkpoint; the data need no targets."),
}

OPTIONS = f"""\
RUN is a run directory, CONFIG.yaml a file of the settings below; either may come as --config. In the file they are
nested at the dots, those of a class in init_args, as model: {{class_path: {CLASSES["model"][0]}, init_args: {{...}}}}.
Every setting may follow as --KEY VALUE, which wins, with or without init_args. `--help full` lists all of them.

Options
  -c, --config FILE     settings; of several files the later ones lie over the earlier
  --run_dir PATH        [runs/<name of FILE>] where results go
  --model.class_path    {_for_each("model")}
  --data.class_path     {_for_each("data")}
  --ckpt_path WHICH     [none] best, last, or a file. fit: continue from it; else: evaluate it
  --overwrite BOOL      [false] let fit replace a run
  --allow PACKAGE       let the settings name classes of your own PACKAGE; not recorded: say it each time
  --seed_everything N   [0] of the network's start
  --print_config        print all settings and stop
"""

MODEL = """\
model.KEY, for all
  net                   the network, as class_path and init_args: one of those below, or of your own (--allow)
  optimizer             class_path and init_args of one of torch.optim
  scheduler             [none] sciml.training.schedules.OneCycle (pct_start [0.3]), Cosine or Halving (stages [5]),
                        stepped each training step; or one of torch.optim.lr_scheduler, stepped each epoch
                        (OneCycleLR, CyclicLR: each step; ReduceLROnPlateau: by the validation's metric)
  factor_lr             [none] learning rate of the learned transforms' factors; left out: the optimizer's
  factor_decay          [0.0] after each step, factor -= rate * factor_decay * (factor - its start)
  structured_rates      [false] rates of the factors of structured layers (sciml.sparsify) by their sizes
"""

TRAINER = """\
trainer.KEY, Lightning's Trainer; among them
  max_epochs            epochs to train;  precision: 32-true, 64-true, bf16-mixed;  accelerator, devices: where
  gradient_clip_val     largest norm of the gradients;  accumulate_grad_batches: batches to a step
  callbacks             sciml.training.structure.SparseToDense (at [0.9], carry_optimizer [true]): structured layers
                        become dense at that share of the steps; DenseToSparse (run, calibration [0]): start from dense
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

STUDY = """\
usage: sciml study FILE.yaml [--folder PATH] [--jobs N | --dask ADDRESS | --slurm KEY=VALUE...]
                             [--only CONTENDER...] [--publish PATH] [--dry-run]
       sciml study FOLDER [--publish PATH]

A tuned comparison. Every contender is tuned on validation data with equally many trials, until both neighbours of its
best are worse; then trained with every seed, and tested; then trained for the slowest one's time. Every trial is a run
of `sciml fit`. What was stopped goes on with the same command. Of a study's FOLDER the report is made anew, of what is
there, and nothing runs.

  FILE.yaml             the study, see below
  --folder PATH         [runs/studies/NAME] where its runs, study.csv, samples.csv, study.yaml and report go
  --jobs N              [1] runs at a time on this machine
  --dask ADDRESS        run on a Dask cluster, tcp://HOST:PORT of its scheduler
  --slurm KEY=VALUE     run as job arrays of SLURM; options of submitit, such as timeout_min=60 slurm_partition=gpu
  --only CONTENDER      run these alone; of others, what there is is read
  --publish PATH        copy the report, its figures and study.csv into this folder, as NAME.md, figures/, NAME.csv
  --dry-run             list contenders, their parameters, and how many trials there will be

FILE.yaml
  metric                entry of metrics.json that is compared, such as relative_l2
  contenders            by name: settings as below
  budgets               epochs of training, such as [30, 120]; each is a comparison of its own
  base                  [none] configurations of all contenders, later ones over earlier ones
  set                   [none] dotted keys over them, such as {data.init_args.n_val: 200}
  tune                  [none] what is tuned: dotted key and first guess
  factor                [2.0] step of the search, up and down
  trials                [9] most for a contender at a budget
  tune_at               [each] budget, or the first, whose best values serve the others
  seeds                 [0, 1, 2] of the runs at the best values; the first is also that of tuning
  baselines             [none] ratios are to the best of these; none: to the first contender
  equal_time            [true] whether contenders also train for as long as the slowest
  threads               [1] of a run
  name                  [none] of the study; none: that of the file
  allow                 [none] packages of your own that settings may name
  seconds_per_epoch     [none] by contender, instead of a measurement

contenders.NAME
  like                  [none] another contender, whose entries hold where this one has none
  config                [none] further configurations
  set                   [none] further settings; {seed} in a text is the run's seed, {from} as said below
  tune                  [none] further keys; null: not tuned here
  widen                 [none] {key, to}: the integer at key is the least with as many parameters as contender `to`
  from                  [none] a contender whose run of the same seed and budget it starts from; its folder is {from}
  epochs                [1.0] share of the budget
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
    return {"compare": COMPARE, "study": STUDY, "verify": VERIFY}.get(command, COMMANDS)


def full(arguments: list[str]) -> list[str] | None:
    """`fit ... --help full` as the `fit --help` of its parser; None if that is not what is asked, or all is told."""
    words = arguments[1:] if arguments[:1] == ["help"] else arguments
    if "full" not in words or not (words is not arguments or "-h" in words or "--help" in words):
        return None
    named = [word for word in words if word not in ("full", "-h", "--help")] or ["fit"]
    return None if named[0] in ("compare", "study", "verify") else [*named, "--help"]


def _training(command: str) -> str:
    operand, purpose = _PURPOSE[command]
    usage = f"usage: sciml {command} {operand} [--KEY VALUE]...\n\n{purpose}\n"
    return "\n".join([usage + OPTIONS, MODEL + TRAINER, *(of.SETTINGS for of in APPLICATIONS)])
