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
from pathlib import Path

import numpy as np
from mri_accuracy import LEARNED, LR
from mri_trials import WITH_MAPS, MRIProblem, MRITrial
from output import RESULTS, keep

BRAINS = MRIProblem("brains_256", tune="data/brains_256", final="data/brains_256", size=256, coils=4)
FFT = MRITrial(BRAINS, 1.5e-3, "varnet", start="fft", epochs=6)
NETWORKS = {
    "U-Net": FFT.at(lr=1e-3, network="unet", start=None),
    "Monarch SENSE": MRITrial(BRAINS, 1e-2, "sense", "monarch", epochs=40, loss="l1"),
    "MoDL, FFT": FFT.at(lr=LR["modl"], network="modl"),
    "MoDL, Monarch": FFT.at(lr=LR["modl"], network="modl", **LEARNED["modl"]),
    "VarNet, FFT": FFT,
    "VarNet, Monarch": FFT.at(**LEARNED["varnet"]),
}


def methods():
    """Name, task, whether it wants maps; trained one after the other."""
    import torch

    from sciml.mri.models.classical import CGSense, L1Wavelet, ZeroFilled
    from sciml.mri.task import MRITask

    for name, net in {"zero-filled": ZeroFilled(), "CG-SENSE": CGSense(), "L1-wavelet": L1Wavelet()}.items():
        yield name, MRITask(net, torch.optim.Adam, loss=torch.nn.L1Loss()), name != "zero-filled"
    for name, trial in NETWORKS.items():
        yield name, trial.at(final=True).trained()[0], trial.network in WITH_MAPS


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
