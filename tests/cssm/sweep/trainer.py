"""A trainer as the runner sees one: a command line, and a log; it obeys flags of its own for what goes wrong."""

import json
import signal
import sys
import time
from pathlib import Path

words = iter(sys.argv[1:])
args = {}
for word in words:
    args[word.removeprefix("--")] = next(words)
root, name, batch = Path(args["checkpoint_dir"]), args["run_name"], int(args["batch_size"])
(root / name).mkdir(parents=True, exist_ok=True)
with (root.parent / "starts").open("a") as starts:
    starts.write(f"{name} {batch} {args.get('grad_accum', 1)}\n")

if batch > int(args.get("fits", batch)):
    (root / name / "checkpoint").write_text(str(batch))
    sys.exit("jaxlib._jax.XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory allocating 4096 bytes.")
if (root / name / "checkpoint").exists() and (root / name / "checkpoint").read_text() != str(batch):
    sys.exit("a checkpoint of another batch")
if "needs" in args and not (root.parent / args["needs"]).exists():
    sys.exit("no room for the zoom")  # not out of memory
if "waits" in args:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(int(args.get("stopped", 0))))
    while not (root.parent / args["waits"]).exists():
        time.sleep(0.02)
with (root / name / "metrics.jsonl").open("a") as log:
    for record in (
        {"step": 0, "num_params": 1000 * int(args.get("embed_dim", 1))},
        {"step": 10, "train/loss": 0.5, "timing/step_ms": 900.0},
        {"step": 20, "train/loss": 0.5, "timing/step_ms": 20.0},
        {"step": 30, "train/loss": 0.5, "timing/step_ms": 20.0, "val/acc": 0.75, "best_val_acc": 0.75},
        {"step": 40, "val/acc": 0.7, "best_val_acc": 0.75},
    ):
        print(json.dumps(record), file=log)
print("trained")
