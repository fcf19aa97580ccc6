"""The scan modes that the published code names, as references to be compared with ours: `python -m benchmarks.scan_modes`.

Every function computes h_t = A_t h_{t-1} + x_t over axis 1 of (B, T, ...), h_0 = 0, and returns complex64.
"""
