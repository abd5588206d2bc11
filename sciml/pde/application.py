"""What `sciml fit --help` says of fields; imports nothing that takes time."""

KIND = "fields"
TASK = "sciml.PDETask"
DATA = "sciml.PDEData"
NET = "sciml.pde.fno"
SETTINGS = """\
model.KEY, for fields
  loss                  [RelativeL2Loss()] sciml.pde.RelativeL2Loss: the sum over frames; or another class, by its path
  normalize             [false] the network works on (field - mean) / std of the training set
Networks for fields (model.net.class_path); also any neuralop.models.*, FNO, TFNO, UNO, ..., with their own init_args
 sciml.pde.fno     neuralop's FNO, with the transform of your choice
  n_modes               modes kept along each axis, both signs counted
  in_channels           channels in; for a rollout, the number of input frames
  out_channels          channels out; for a rollout, 1
  hidden_channels       width of the Fourier layers
  grid                  points along each axis of the training data
  transform             [fft] fft: fixed; monarch, dense: learned, starting as the DFT
  heads                 [none] groups of channels with a learned transform each; left out: one for each channel
  init                  [dft] what it starts from: dft, dct, dst, hartley, hadamard, local (8 blocks), a member by its
                        path (sciml.transforms.LocalDFT, Given, ByAxis, ...), or a list, for shares of the heads
  rank                  [1] monarch: of how many products it is the sum
  learnable             [true] false: a monarch or dense transform stays as it starts
  bank                  [none] a filter bank, a list of branches: each an init, and n_modes, heads, rank, learnable
  n_layers              [4] Fourier layers
  domain_padding        [none] zero padding on each side, as a fraction of the grid
  separable             [false] one weight for each mode and channel, not a channel matrix for each mode
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
