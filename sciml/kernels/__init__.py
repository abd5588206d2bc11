"""The operations on tensors, a folder each, in which `reference.py` is the specification and the others must equal it.

`ops` is what layers call, `dispatch` the table of what runs, `form` the derivatives to any order.
"""
