"""Sweeps: grids of runs as data, run one a device, resumed after any failure, and tabulated.

`grid` reads a grid, `runner` runs it here, `slurm` on a cluster, `results` reads what came of it. A trainer is a command
line that logs `metrics.jsonl` under `{--checkpoint_dir}/{--run_name}`: nothing else is known of it.
"""
