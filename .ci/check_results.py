"""Hold the newest default search and its student against what the README promises of them."""

import json
from pathlib import Path


def newest(kind: str) -> dict:
    """The metrics of the run of this kind that finished last."""
    path = max(Path("runs", kind).glob("*/metrics.json"), key=lambda file: file.stat().st_mtime)
    return json.loads(path.read_text(encoding="utf-8"))


search, student = newest("search"), newest("train")
print("search:", search)
print("student:", student)
assert search["target_met"], "the search missed its budget"
assert abs(search["flops_ratio"] - 0.5) <= 0.05 * 0.5, "the found network is not within 5 % of the target"
assert search["seconds"] <= 180, "the default search took more than 3 minutes"
assert student["kd"] and student["flops"] == search["flops"], "the student is not the network that was found"
assert student["test_accuracy"] >= student["teacher_accuracy"] - 0.01, "the student is over a point below its teacher"
