"""Benchmarks of the operations (`benchmarks.kernels`) and of the sCSSM mechanism (`benchmarks.mechanism`)."""
