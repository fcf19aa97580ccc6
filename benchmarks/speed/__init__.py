"""Parallel against sequential scans on complex logarithms, and ours: `python -m benchmarks.speed`.

Every mode computes h_t = A_t h_{t-1} + x_t over axis 1 of (B, T, C, H, W_f), h_0 = 0, of numbers or of 3-vectors under 3 x 3
matrices; the nonlinear ones h_t = phi(A_t h_{t-1} + x_t), phi(z) = z / (1 + |z|). They differ in how a number is kept
(`arithmetic`), and in the scan (`scans`, or an operation of ours).
"""
