"""What `sciml data` makes of images; imports nothing that takes time."""

from sciml.io.generator import Generator

GENERATORS = {
    "mri": Generator(
        "sciml.mri.physics.simulate:generate_mri",
        "multi-coil k-space of real anatomy with simulated coils, in fastMRI's layout",
        """\
usage: sciml data mri --out FOLDER --n-subjects N ...

Multi-coil k-space in fastMRI's layout: FOLDER/multicoil_train, multicoil_val, multicoil_test. The same command again
continues. Words are joined by - or _.

  out                   folder to write; a volume a file, with target and true coil maps
  n-subjects            volumes to train on
  source                [mni152] the anatomy: mni152, a NIfTI volume, or a stack of magnitude images (.h5, .npy)
  n-val                 [0] volumes to validate on
  n-test                [0] volumes to test on
  coils                 [8] coils of a simulated birdcage
  grid                  [128] points along y and x
  n-slices              [1] slices of a volume
  snr                   [50.0] mean magnitude over the object / standard deviation of the noise in a coil image
  seed                  [0] of contrast, deformation, phase and noise
  deform                [none] make subjects from one volume by deformation; left out: for mni152 and NIfTI
""",
    ),
}
