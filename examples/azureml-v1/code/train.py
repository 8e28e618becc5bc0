# SPDX-License-Identifier: Apache-2.0
"""What comes after Spark: the files that it wrote, in a folder."""

import csv
import os
import sys

from azureml.core import Run

folder = os.environ["step2_input"]
assert folder == sys.argv[1] == Run.get_context().input_datasets["step2_input"]
names = sorted(os.listdir(folder))
print("found", names)

survived = {}
for name in names:
    if name.endswith(".csv"):
        with open(os.path.join(folder, name), newline="") as f:
            for row in csv.DictReader(f):
                survived.setdefault(row["Sex"], []).append(int(row["Survived"]))

run = Run.get_context()
for sex, results in sorted(survived.items()):
    rate = sum(results) / len(results)
    run.log(f"survived_{sex}", rate)
    print(f"of {len(results)} {sex} passengers {rate:.0%} survived")
