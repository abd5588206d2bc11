"""Learnable Monarch transforms in place of the fixed Fourier transform."""
