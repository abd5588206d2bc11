"""What `sciml fit --help` says of images; imports nothing that takes time."""

KIND = "images"
TASK = "sciml.MRITask"
DATA = "sciml.MRIData"
NET = "sciml.mri.VarNet"
SETTINGS = """\
model.KEY, for images
  loss                  [SSIMLoss()] sciml.mri.SSIMLoss, torch.nn.L1Loss or MSELoss, of images over the volume's maximum
Networks for images (model.net.class_path)
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
  rank                  [1] monarch: of how many products it is the sum
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
