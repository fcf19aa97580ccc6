"""A sweep on a cluster: one job a run, submitted through submitit.

The jobs share the sweep's log with each other and with runners elsewhere, so that a run is run once whoever comes first.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from cssm.sweep.grid import Sweep
from cssm.sweep.progress import Status
from cssm.sweep.runner import Runner, Site

# One device for each run; a day, after which a job goes to the back of the queue.
PARAMETERS = {"nodes": 1, "tasks_per_node": 1, "gpus_per_node": 1, "cpus_per_task": 8, "timeout_min": 24 * 60}


class Job:
    """The run `name` of a sweep, as submitit calls it: returns its state, or None where another has taken it."""

    def __init__(self, sweep: Sweep, site: Site, name: str) -> None:
        self.sweep = sweep
        self.site = site
        self.name = name
        self._running: tuple[Runner, Future[Status | None]] | None = None

    def __call__(self) -> Status | None:
        runner = Runner(self.sweep, self.site)
        runner.prepare(retry_failed=False)
        # In a thread, as `checkpoint` is called on top of this frame and has to see the run end.
        with ThreadPoolExecutor(1) as worker:
            self._running = runner, worker.submit(runner.run_one, self.name)
            state = self._running[1].result()
        self._running = None
        return state

    def checkpoint(self) -> Any:
        """Before the job is preempted or out of time: stops the run, which is PENDING, and asks for another job."""
        import submitit

        if self._running is not None:
            runner, state = self._running
            runner.stop()
            state.result()
            self._running = None
        return submitit.helpers.DelayedSubmission(self)


def submit(
    sweep: Sweep,
    site: Site,
    parameters: Mapping[str, Any],
    cluster: str = "slurm",
    retry_failed: bool = True,
    dead_hosts: tuple[str, ...] = (),
) -> list[Any]:
    """Submits what is PENDING: the jobs.

    Args:
      sweep: the grid.
      site: of the cluster; `root` must be on a file system of all its nodes.
      parameters: of submitit's executor, such as slurm_partition and timeout_min, beside `PARAMETERS`.
      cluster: submitit's name of it: "slurm", or "local" for processes here.
      retry_failed: whether FAILED runs are submitted too.
      dead_hosts: hosts whose RUNNING runs have died.

    Raises:
      ModuleNotFoundError: submitit is not installed.
      ValueError: what submitit refuses, and what `Runner` does.
    """
    try:
        import submitit
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "submitit is not installed; expected the extra `sweep`: pip install 'cssm-kernels[sweep]'"
        ) from error
    runner = Runner(sweep, site)
    try:
        executor = submitit.AutoExecutor(folder=runner.layout.jobs, cluster=cluster)
        executor.update_parameters(**{"name": sweep.name, **PARAMETERS, **parameters})
    except (RuntimeError, NameError, TypeError) as error:  # no such cluster here; no such parameter; of another type
        raise ValueError(f"{cluster}: {error}") from error
    runner.prepare(retry_failed, dead_hosts)
    entries = runner.log.entries()
    pending = [run.name for run in sweep.runs if run.name not in entries or entries[run.name].status is Status.PENDING]
    if not pending:
        return []
    site = replace(site, root=runner.layout.root)
    with executor.batch():  # an array
        return [executor.submit(Job(sweep, site, name)) for name in pending]
