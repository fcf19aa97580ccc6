"""Kernel benchmarks: `python -m benchmarks.kernels` for ratios, `pytest benchmarks/kernels` for absolute times.

Ratios come from the former: it times the contenders of one case interleaved, and checks their results first.
"""
