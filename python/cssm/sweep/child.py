"""A trainer as a child process: in a process group of its own, and never outliving its runner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

LEASH = Path(__file__).with_name("leash.py")


def start(command: Sequence[str], output: IO[bytes], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Starts `command`, its stdout and stderr going to the file `output`.

    It has a process group of its own: a ^C of the terminal reaches the runner alone, which then stops it by `stop`. Where
    the runner dies, even by SIGKILL, so does the child (on Linux): a run that is tried again never meets its former self.
    """
    leash = [sys.executable, "-I", "-S", str(LEASH), str(os.getpid())]
    return subprocess.Popen(
        [*leash, *command],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env=env,
    )


def stop(child: subprocess.Popen[bytes], grace: float) -> None:
    """SIGTERM to the child's group, upon which a trainer saves, and SIGKILL after `grace` seconds."""
    if child.poll() is not None:
        return
    os.killpg(child.pid, signal.SIGTERM)
    try:
        child.wait(grace)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
