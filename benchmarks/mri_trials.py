"""One reconstruction run of a comparison: trained as `sciml fit` does, measured as `sciml test` does."""

import math
import time
import warnings
from dataclasses import dataclass, field
from statistics import fmean

from trials import Kept

NETWORKS = {
    "sense": {},
    "varnet": {"cascades": 3, "chans": 6, "pools": 3, "sens_chans": 0},
    "modl": {"iterations": 2, "cg_iterations": 4, "chans": 6, "pools": 3},
    "unet": {"chans": 16, "pools": 3},
    "cg-sense": {},
    "l1-wavelet": {},
}
WITH_MAPS = ("sense", "modl", "varnet", "cg-sense", "l1-wavelet")


@dataclass(frozen=True)
class MRIProblem:
    """Simulated coils around real anatomy, made by `make benchmark-data-mri`.

    `tune` holds the training subjects, the last of them for validation; `final` all of them, and the test subjects.
    """

    name: str
    tune: str
    final: str
    size: int = 128
    coils: int = 8


@dataclass(frozen=True)
class MRITrial(Kept):
    """What is varied. `final`: train on all training subjects and report the test subjects."""

    lr: float
    network: str = "sense"
    transform: str = "fft"
    factor_lr: float | None = None
    epochs: int = 20
    loss: str = "ssim"
    seed: int = 0
    final: bool = False
    n_train: int | None = None
    start: str | None = None  # the transform of VarNet's or MoDL's SENSE start; None: the paper's start
    fourier: dict = field(default_factory=dict, hash=False)  # further arguments of Fourier2d
    net: dict = field(default_factory=dict, hash=False)  # further arguments of the network

    def run(self) -> dict:
        from sciml.errors import NonFinite
        from sciml.training.task import count_parameters

        start = time.perf_counter()
        try:
            task, data = self.trained()
            found = measure(task, data.test_dataloader()) | {"parameters": count_parameters(task.parameters())}
        except NonFinite:
            parameters = count_parameters(build(self).parameters())
            found = {"psnr": -math.inf, "ssim": 0.0, "nmse": math.inf, "parameters": parameters}
        return {**found, "val": -found["psnr"], "seconds": time.perf_counter() - start}

    def trained(self):
        """The trained task and its data; one thread, so that trials can run side by side."""
        import torch
        from lightning.pytorch import Trainer

        from sciml.mri.losses import SSIMLoss
        from sciml.mri.task import MRITask
        from sciml.training.callbacks import DivergenceGuard
        from sciml.training.schedules import OneCycle

        warnings.filterwarnings("ignore", module="lightning")
        torch.set_num_threads(1)
        torch.manual_seed(self.seed)
        optimizer = lambda groups: torch.optim.Adam(groups, lr=self.lr)  # noqa: E731
        losses = {"ssim": SSIMLoss(), "l1": torch.nn.L1Loss(), "mse": torch.nn.MSELoss()}
        task = MRITask(build(self), optimizer, OneCycle(0.1), loss=losses[self.loss], factor_lr=self.factor_lr)
        quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        unvalidated = {"limit_val_batches": 0, "num_sanity_val_steps": 0, "enable_checkpointing": False}
        trainer = Trainer(
            max_epochs=self.epochs, accelerator="cpu", callbacks=[DivergenceGuard()], **quiet, **unvalidated
        )
        data = data_module(self)
        if self.epochs:
            trainer.fit(task, data)
        return task, data


def data_module(trial: MRITrial):
    """Equispaced R = 4 with 8 % in the centre; the test loader has what the run is judged by."""
    from sciml.mri import Mask, MovedObject, MRIData

    problem = trial.problem
    return MRIData(
        problem.final if trial.final else problem.tune,
        Mask("equispaced", center_fractions=[0.08], accelerations=[4]),
        test_split="multicoil_test" if trial.final else "multicoil_val",
        n_train=trial.n_train,
        n_val=0,
        maps="file" if trial.network in WITH_MAPS else "none",
        augment=MovedObject("file"),
        seed=trial.seed,
    )


def build(trial: MRITrial):
    from sciml.mri.models.classical import CGSense, L1Wavelet
    from sciml.mri.models.modl import MoDL
    from sciml.mri.models.sense import Sense
    from sciml.mri.models.unet import ImageUNet
    from sciml.mri.models.varnet import VarNet
    from sciml.mri.physics.fourier import Fourier2d

    problem, options = trial.problem, {**NETWORKS[trial.network], **trial.net}
    plain = {"unet": ImageUNet, "cg-sense": CGSense, "l1-wavelet": L1Wavelet}
    if trial.network in plain:
        return plain[trial.network](**options)

    def fourier(transform: str) -> Fourier2d:
        heads = {} if transform == "fft" else {"heads": problem.coils}
        return Fourier2d(size=[problem.size] * 2, transform=transform, **{**heads, **trial.fourier})

    if trial.start is not None:
        options["start"] = fourier(trial.start)
    return {"sense": Sense, "modl": MoDL, "varnet": VarNet}[trial.network](fourier(trial.transform), **options)


def measure(task, loader) -> dict[str, float]:
    """Means over volumes, each with its own maximum as range: fastMRI's offline convention."""
    import torch

    from sciml.mri.volumes import METRICS, VolumeStack

    task.eval()
    stack = VolumeStack()
    with torch.no_grad():
        for batch in loader:
            stack.add(batch, task(batch))
    found = [volume.metrics(None) for volume in stack.volumes()]
    return {name: fmean(m[name] for m in found) for name in METRICS}
