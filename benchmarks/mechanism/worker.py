"""Worker process: compiles, checks and times groups of cells under one allocator setting.

Reads one job (JSON) from stdin, writes one event (JSON) a line to stdout; see `supervisor`. Whatever else prints goes
to stderr.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import traceback
from dataclasses import asdict
from typing import Any

import jax

from benchmarks import environment
from benchmarks.mechanism import agreement, models
from benchmarks.mechanism.agreement import Result
from benchmarks.mechanism.budget import Budget, part_of_time, weight
from benchmarks.mechanism.group import Emit, GroupRun, Verdicts, rows
from benchmarks.mechanism.options import Options
from benchmarks.mechanism.panels import Group, Shape
from benchmarks.mechanism.records import MISMATCH, SKIPPED, classify


def probe(keys: list[str], shape: Shape, options: Options, budget: Budget, emit: Emit) -> Verdicts:
    """Layer check of all series before anything is timed; returns the series that must not be timed, and why."""
    members = {key: family.reference for family in agreement.FAMILIES for key in family.members}
    results: dict[str, Result] = {}
    verdicts: Verdicts = {}
    wanted = dict.fromkeys(key for key in keys if key in {*members, *agreement.NOT_ASSOCIATIVE[:2]})
    wanted |= dict.fromkeys(members[key] for key in list(wanted) if key in members)
    for key in wanted:
        emit("stage", series=key, measure="fwd", shape=shape, stage="layer check")
        refusal = budget.refusal(key, "check", shape, budget.deadline)
        if refusal:
            verdicts[key] = (refusal.status, f"the layer check could not be made: {refusal.reason}")
            continue
        try:
            results[key] = models.probe(key, shape, with_gradient=key not in agreement.NOT_ASSOCIATIVE)
        except Exception as error:
            traceback.print_exc()
            verdicts[key] = (classify(error), f"the layer check failed: {type(error).__name__}: {error}"[:300])
    checks = agreement.compare(results, "layer on random frames", models.PROBE_STEPS, "fp32", "default")
    checks += agreement.check_not_associative(results, "fp32", "default")
    for check in checks:
        emit("check", check=check.to_json())
    for key, reference in members.items():
        if key in results and reference not in results:
            verdicts[key] = (SKIPPED, f"nothing to check it against: {reference} has no result")
    return verdicts | {key: (MISMATCH, reason) for key, reason in agreement.condemned(checks).items()}


def work(job: dict[str, Any], emit: Emit) -> None:
    """Do one job."""
    options = Options.from_json(job["options"])
    groups = [Group(Shape(*g["shape"]), tuple(g["series"]), tuple(map(tuple, g["panels"]))) for g in job["groups"]]
    budget, allocator = Budget.from_json(job["budget"]), job["allocator"]
    models.use_compilation_cache(job["compilation_cache"])
    models.full_precision_on_a_gpu()
    facts = models.environment()
    if facts["backend"] == "cpu":
        facts["device"] = environment.cpu_model()
    emit("hello", environment=facts)
    keys = list(dict.fromkeys(key for group in groups for key in group.series))
    missing = models.missing_layers(keys)
    if missing:
        emit("missing", layers=missing)
        return
    verdicts = job["verdicts"]
    if verdicts is None:
        verdicts = probe(keys, groups[0].shape, options, budget, emit)
        emit("verdicts", verdicts=verdicts)
    parameters = models.Parameters(options)
    for index, group in enumerate(groups):
        end = part_of_time(weight(group), map(weight, groups[index + 1 :]), budget.deadline)
        run = GroupRun(group, options, budget, end, emit)
        run.run(parameters, verdicts, allocator)
        emit("rows", group=index, rows=[asdict(row) for row in rows(run, options, allocator, facts)])
        del run
        gc.collect()
        jax.clear_caches()
    emit("done")


def main() -> None:
    """Entry point of the process."""
    events = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def emit(event: str, **values: Any) -> None:
        events.write(json.dumps({"event": event, **values}) + "\n")
        events.flush()

    work(json.load(sys.stdin), emit)


if __name__ == "__main__":
    main()
