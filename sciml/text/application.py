"""What `sciml fit --help` says of text; imports nothing that takes time."""

KIND = "text"
TASK = "sciml.text.TextTask"
DATA = "sciml.text.TextData"
NET = "sciml.text.GPT"
SETTINGS = """\
For text, a small test bed: predict the next byte
  model.net             sciml.text.GPT with vocabulary [256], context [128], width [768], layers [2], heads [12]
  data.KEY              path [none: the topics of Python's help], context [128], n_val [100], n_test [100],
                        batch_size [8], num_workers [0], seed [0]
"""
