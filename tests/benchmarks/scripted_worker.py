"""A worker process without jax that plays a part. Started by the tests of the supervisor.

SCRIPT is `ACTION SERIES`: on reaching that series it will `hang`, be `killed`, `crash`, or find its layer `missing`; or
`ACTION` alone: `stillborn`. Told by the supervisor that the series is given up, it reports that instead.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from dataclasses import asdict
from typing import Any

from benchmarks.mechanism.panels import SERIES
from benchmarks.mechanism.records import Row


def emit(event: str, **values: Any) -> None:
    """Send an event."""
    print(json.dumps({"event": event, **values}), flush=True)


def act(action: str) -> None:
    """Misbehave."""
    if action == "hang":
        time.sleep(60)
    elif action == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "crash":
        sys.exit(7)


def main() -> None:
    """Play one job."""
    job = json.load(sys.stdin)
    action, _, victim = os.environ.get("SCRIPT", "").partition(" ")
    if action == "stillborn":
        sys.exit(3)
    emit("hello", environment={"jax": "none"})
    if action == "missing":
        emit("missing", layers={victim: f"cssm_type: {victim!r} is known but not built yet"})
        return
    emit("verdicts", verdicts={})
    for group in job["groups"]:
        rows = []
        for key in group["series"]:
            refused = job["budget"]["given_up"].get(f"{key}/fwd")
            emit("stage", series=key, measure="fwd", shape=group["shape"], stage="first call")
            if key == victim and not refused:
                act(action)
            _, status, note = refused or (None, "ok", "")
            side, channels, steps, kernel_size = group["shape"]
            series = SERIES[key]
            rows.append(
                Row(
                    run_id=job["options"]["run_id"], panel="T", cssm_type=series.cssm_type, name=series.name,
                    impl=series.impl, H=side,
                    embed_dim=channels, T_video=steps, kernel_size=kernel_size, status=status, status_fwd=status,
                    status_bwd=status, note=note, allocator=job["allocator"], fwd_ms=1.0, fwd_bwd_ms=2.0,
                    jax=os.environ.get("MALLOC_MMAP_THRESHOLD_", "unset"), measured_at=str(time.time()),
                )
            )  # fmt: skip
        emit("rows", rows=[asdict(row) for row in rows])
    emit("done")


if __name__ == "__main__":
    main()
