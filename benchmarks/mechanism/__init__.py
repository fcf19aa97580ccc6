"""Mechanism-validation suite: sCSSM against the same idea without the FFT, without the parallel scan, without space.

`python -m benchmarks.mechanism --help`. The driver never imports jax: each allocator setting runs in a worker process
of its own (`worker`), which `supervisor` starts, watches and, where a cell hangs, replaces.

    options    command line                     panels      the series, and which panel shows which
    supervisor worker processes, time-outs      worker      one process: a job of groups (jax)
    group      one shape: compile, check, time  models      the functions under test (jax)
    agreement  which series must agree          terminal    progress and tables
    budget     what still fits in the time      records     the CSV
    tables, figure, page                        what is made of the CSV
    compare    two CSVs side by side
"""
