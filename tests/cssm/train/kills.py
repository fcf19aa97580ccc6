"""`python -m tests.cssm.train.kills`: kills runs at random moments, and compares what they come to with a run left alone.

A run is killed again and again, mostly while it compiles, trains or saves, until it ends; then the next one is, until there
were as many kills as asked for. Each must end with the log, to the last digit, of the run left alone.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.cssm.train.runs import log, start

SAVED_EVERY = 4


def run_killed(directory: Path, steps: int, moments: list[float]) -> int:
    """Start the run in `directory` until it ends, killing it `moments` seconds after each start; how many died of it.

    Raises:
      RuntimeError: it ended by itself with an error.
    """
    killed = 0
    for moment in [*moments, None]:
        process = start(directory, "--steps", str(steps), "--save_steps", str(SAVED_EVERY))
        try:
            code = process.wait(moment)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        if code == 0:
            break
        if code != -signal.SIGKILL:
            raise RuntimeError(f"{directory}: exit code {code} after {killed} kills, {len(log(directory))} records")
        killed += 1
    return killed


def main() -> int:
    """1 if a log differs."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    directory = Path(tempfile.mkdtemp())
    begin = time.perf_counter()
    run_killed(directory / "whole", arguments.steps, [])
    seconds = time.perf_counter() - begin
    expected, kills, index = log(directory / "whole"), 0, 0
    while kills < arguments.times:
        killed = directory / str(index)
        moments = [rng.uniform(1, seconds) for _ in range(arguments.times - kills)]
        kills, index = kills + run_killed(killed, arguments.steps, moments), index + 1
        if log(killed) != expected:
            print(f"{killed}: another log than {directory / 'whole'}")
            return 1
        print(f"run {index}: the same {len(expected)} records; {kills} kills so far", flush=True)
    shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
