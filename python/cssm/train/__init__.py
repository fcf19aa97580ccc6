"""Training: optimiser, steps, checkpoints, records, and the loop that `cssm train` runs."""
