#!/usr/bin/env python3
"""Compares the TensorBoard events of a run, as TensorBoard reads them, with the metrics.jsonl of the run.

usage: check-tensorboard.py RUN        (needs the tensorboard package)
"""
import json
import os
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

run = sys.argv[1]
accumulator = EventAccumulator(run, size_guidance={"scalars": 0})
accumulator.Reload()
events = {tag: {e.step: e.value for e in accumulator.Scalars(tag)} for tag in accumulator.Tags()["scalars"]}
compared, wrong = 0, 0
with open(os.path.join(run, "metrics.jsonl"), encoding="utf8") as lines:
    for record in map(json.loads, lines):
        prefix = "valid/" if "split" in record else "train/"
        expected = {prefix + "loss": record["loss"]}
        expected.update({f"{prefix}loss/{name}": value for name, value in record["losses"].items()})
        expected.update({f"{prefix}accuracy/{name}": value for name, value in record.get("accuracy", {}).items()})
        if "lr" in record:
            expected.update({"train/lr": record["lr"], "train/gradNorm": record["gradNorm"]})
        for tag, value in expected.items():
            got = events.get(tag, {}).get(record["step"])
            compared += 1
            if got is None or abs(got - value) > 1e-5 * max(1.0, abs(value)):
                wrong += 1
                print(f"step {record['step']}: {tag} is {got}, metrics.jsonl says {value}")
print(f"{compared} values compared, {wrong} differ; tags: {', '.join(sorted(events))}")
sys.exit(1 if wrong or not compared else 0)
