"""Every reconstruction on a real scan, R = 4. Writes runs/benchmarks/real_scan.{json,md,png}.

    sciml data mri --out data/brains_256 --n-subjects 14 --n-test 2 --coils 4 --grid 256
    python benchmarks/real_scan.py brain_t2_4coil.h5

The networks train on simulated brains of the scan's size and number of coils, T1 contrast, and have seen neither the
scan's contrast nor its coils; the maps are ESPIRiT's. One slice, one seed, rates not tuned for it: an existence proof,
not a comparison.
"""

import argparse
import shutil
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from output import RESULTS, keep

BRAINS, SIZE, COILS = "data/brains_256", 256, 4


class Network(NamedTuple):
    """How one is built and trained; rates as found by the study in docs/results/mri.md."""

    build: Callable[[], Any]
    lr: float
    factor_lr: float | None = None
    epochs: int = 6
    maps: bool = True


def networks() -> dict[str, Network]:
    from sciml.mri import Fourier2d, ImageUNet, MoDL, Sense, VarNet

    def fourier(transform: str) -> Fourier2d:
        return Fourier2d([SIZE, SIZE], transform=transform, **({} if transform == "fft" else {"heads": COILS}))

    def modl(transform: str, start: str | None) -> MoDL:
        options = {} if start is None else {"start": fourier(start)}
        return MoDL(fourier(transform), iterations=2, cg_iterations=4, chans=6, pools=3, **options)

    def varnet(start: str) -> VarNet:
        return VarNet(fourier("fft"), start=fourier(start), cascades=3, chans=6, pools=3, sens_chans=0)

    return {
        "U-Net": Network(lambda: ImageUNet(chans=16, pools=3), 1e-3, maps=False),
        "Monarch SENSE": Network(lambda: Sense(fourier("monarch")), 1e-2, epochs=40),
        "MoDL, FFT": Network(lambda: modl("fft", "fft"), 4.8e-2),
        "MoDL, Monarch": Network(lambda: modl("monarch", None), 4.8e-2, 1e-3),
        "VarNet, FFT": Network(lambda: varnet("fft"), 1.5e-3),
        "VarNet, Monarch": Network(lambda: varnet("monarch"), 1.5e-3, 1e-2),
    }


def trained(name: str, network: Network):
    """The task after training on simulated brains; one thread."""
    import torch
    from lightning.pytorch import Trainer

    from sciml.mri import Mask, MovedObject, MRIData
    from sciml.mri.losses import SSIMLoss
    from sciml.mri.task import MRITask
    from sciml.training.schedules import OneCycle

    torch.set_num_threads(1)
    torch.manual_seed(0)
    mask = Mask("equispaced", center_fractions=[0.08], accelerations=[4])
    maps = "file" if network.maps else "none"
    data = MRIData(BRAINS, mask, n_val=0, maps=maps, augment=MovedObject("file"), seed=0)
    task = MRITask(
        network.build(),
        lambda groups: torch.optim.Adam(groups, lr=network.lr),
        OneCycle(0.1),
        loss=torch.nn.L1Loss() if name == "Monarch SENSE" else SSIMLoss(),
        factor_lr=network.factor_lr,
    )
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    unvalidated = {"limit_val_batches": 0, "num_sanity_val_steps": 0, "enable_checkpointing": False}
    Trainer(max_epochs=network.epochs, accelerator="cpu", **quiet, **unvalidated).fit(task, data)
    return task


def methods():
    """Name, task, whether it wants maps; trained one after the other."""
    import torch

    from sciml.mri.models.classical import CGSense, L1Wavelet, ZeroFilled
    from sciml.mri.task import MRITask

    for name, net in {"zero-filled": ZeroFilled(), "CG-SENSE": CGSense(), "L1-wavelet": L1Wavelet()}.items():
        yield name, MRITask(net, torch.optim.Adam, loss=torch.nn.L1Loss()), name != "zero-filled"
    for name, network in networks().items():
        yield name, trained(name, network), network.maps


def reconstruct(task, folder: Path, maps: bool):
    """The scan as a `Volume`."""
    import torch

    from sciml.mri.data import MRIData
    from sciml.mri.physics.masks import Mask
    from sciml.mri.volumes import VolumeStack

    mask = Mask("equispaced", center_fractions=[0.08], accelerations=[4])
    data = MRIData(str(folder), mask, test_split=".", maps="espirit" if maps else "none")
    stack = VolumeStack()
    task.eval()
    with torch.no_grad():
        for batch in data.test_dataloader():
            stack.add(batch, task(batch))
    return stack.volumes()[0]


def figure(found: dict):
    """Each reconstruction above its error, on the reference's grey scale."""
    from matplotlib.figure import Figure

    from sciml.mri.figures import ERROR_GAIN

    target = next(iter(found.values())).target[0]
    drawing = Figure(figsize=(2.1 * (len(found) + 1), 5), layout="constrained")
    axes = drawing.subplots(2, len(found) + 1)
    for ax in axes.flat:
        ax.set_axis_off()
    axes[0, 0].imshow(target, cmap="gray", vmax=0.9 * target.max())
    axes[0, 0].set_title("reference", fontsize="small")
    for column, (name, volume) in enumerate(found.items(), start=1):
        score = volume.metrics()
        axes[0, column].imshow(volume.prediction[0], cmap="gray", vmin=0, vmax=0.9 * target.max())
        axes[0, column].set_title(f"{name}\n{score['psnr']:.1f} dB, {score['ssim']:.3f}", fontsize="small")
        error = ERROR_GAIN * np.abs(volume.prediction[0] - target)
        axes[1, column].imshow(error, cmap="inferno", vmin=0, vmax=target.max())
    axes[1, 1].set_title(f"|error| × {ERROR_GAIN}", fontsize="small")
    return drawing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scan", help="a volume in fastMRI's layout")
    asked = parser.parse_args()
    warnings.filterwarnings("ignore", module="lightning")
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(asked.scan, folder)
        for name, task, maps in methods():
            found[name] = reconstruct(task, Path(folder), maps)
            print(name, found[name].metrics(), flush=True)
    rows = {name: volume.metrics() for name, volume in found.items()}
    lines = ["| method | PSNR | SSIM | NMSE |", "|---|---:|---:|---:|"]
    lines += [f"| {name} | {m['psnr']:.2f} | {m['ssim']:.4f} | {m['nmse']:.4f} |" for name, m in rows.items()]
    keep("real_scan", {"rows": rows}, "\n".join(lines))
    figure(found).savefig(RESULTS / "real_scan.png", dpi=110)


if __name__ == "__main__":
    main()
