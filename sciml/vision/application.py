"""What `sciml fit --help` says of small pictures; imports nothing that takes time."""

KIND = "digits"
TASK = "sciml.vision.VisionTask"
DATA = "sciml.vision.DigitsData"
NET = "sciml.vision.ViT"
SETTINGS = """\
For scikit-learn's digits, a small test bed: which digit is it
  model.net             sciml.vision.ViT with size [8], patch [2], classes [10], width [256], layers [4], heads [4]
  data.KEY              n_val [200], n_test [400], batch_size [50], num_workers [0], seed [0]
"""
