# SPDX-License-Identifier: Apache-2.0
"""A Spark step, as people write it for a Synapse pool."""

import argparse
import os

import azureml.core
from azureml.core import Dataset, Run
from pyspark.sql import SparkSession

print(azureml.core.VERSION)
print("tabular_input is", os.environ["tabular_input"])

parser = argparse.ArgumentParser()
parser.add_argument("--tabular_input")
parser.add_argument("--file_input")
parser.add_argument("--output_dir")
args = parser.parse_args()

# The table: a dataset id, which the run's own workspace knows.
run = Run.get_context()
table = Dataset.get_by_id(run.experiment.workspace, id=args.tabular_input)
sdf = table.to_spark_dataframe()
sdf.show(5)
run.log("passengers", sdf.count())
print("table", sdf.count(), "passengers", run.input_datasets["tabular_input"].id == args.tabular_input)

# The file: a URI that Spark reads.
spark = SparkSession.builder.getOrCreate()
lines = spark.read.option("header", "true").option("escape", '"').csv(args.file_input)
print("file", lines.count(), "passengers")
lines.coalesce(1).write.option("header", "true").option("escape", '"').mode("append").csv(args.output_dir)
