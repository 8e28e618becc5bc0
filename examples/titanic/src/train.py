# SPDX-License-Identifier: Apache-2.0
"""The training step: plain Python over files in a folder, which is a download or a mount; it cannot tell.

Trains a logistic regression by gradient descent and prints how well it does on rows it has not seen.
"""

import csv
import json
import math
import os
import sys
from pathlib import Path

folder = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ["prepared"])
print("reads", folder)
rows = []
for path in sorted(folder.iterdir()):
    print(f"  {path.name:60} {path.stat().st_size:>8}")
    if path.suffix == ".csv":
        with path.open(newline="") as f:
            rows += csv.DictReader(f)
if not rows:
    sys.exit(f"no rows in {folder}")


def features(row):
    return [
        1.0,
        float(row["sex"] == "female"),
        float(row["class"]) - 2,
        (float(row["age"]) - 30) / 15,
        math.log1p(float(row["fare"])) - 3,
        float(row["family"]) / 3 - 0.5,
        float(row["title"] == "Master"),
    ]


def chance(weights, x):
    return 1 / (1 + math.exp(-sum(w * v for w, v in zip(weights, x))))


data = [(features(r), int(r["survived"])) for r in rows]
held_back = [d for i, d in enumerate(data) if i % 4 == 0]
seen = [d for i, d in enumerate(data) if i % 4]

weights = [0.0] * len(data[0][0])
for _ in range(200):
    slope = [0.0] * len(weights)
    for x, y in seen:
        miss = chance(weights, x) - y
        for i, v in enumerate(x):
            slope[i] += miss * v
    weights = [w - 2 * s / len(seen) for w, s in zip(weights, slope)]

accuracy = sum((chance(weights, x) > 0.5) == y for x, y in held_back) / len(held_back)
print(f"rows {len(rows)}, survived {sum(y for _, y in data)}")
print(f"accuracy {accuracy:.3f} on {len(held_back)} rows held back")

if len(sys.argv) > 2:
    model = Path(sys.argv[2]) / "model.json"
    model.write_text(json.dumps({"weights": weights, "accuracy": accuracy}))
