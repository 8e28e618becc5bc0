# SPDX-License-Identifier: Apache-2.0
"""The Spark step of twin.yml: a job file of the command line gives it URIs only."""

import argparse

from pyspark.sql import SparkSession

parser = argparse.ArgumentParser()
parser.add_argument("--file_input")
parser.add_argument("--output_dir")
args = parser.parse_args()

spark = SparkSession.builder.getOrCreate()
lines = spark.read.option("header", "true").option("escape", '"').csv(args.file_input)
lines.coalesce(1).write.option("header", "true").option("escape", '"').mode("append").csv(args.output_dir)
