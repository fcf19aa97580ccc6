"""What XLA compiles for GPUs that are not here, and what our kernels load and store: computed, not measured."""
