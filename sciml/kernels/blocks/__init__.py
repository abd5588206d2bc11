"""Products of two block factors, the weight of a Monarch layer."""
