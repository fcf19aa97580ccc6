"""The GPU kernels without a GPU: taken out of the programs compiled for one and run by `tools.ptxsim`."""
