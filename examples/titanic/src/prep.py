# SPDX-License-Identifier: Apache-2.0
"""The Spark step: reads the passengers by URI, cleans them, appends them to the output by URI.

Nothing in it knows of sluice: both URIs are arguments.
"""

import argparse

from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as F

parser = argparse.ArgumentParser()
parser.add_argument("--file_input", required=True)
parser.add_argument("--output_dir", required=True)
args = parser.parse_args()

spark = SparkSession.builder.getOrCreate()
print("reads", args.file_input)
raw = spark.read.option("header", "true").csv(args.file_input)

people = raw.select(
    F.col("PassengerId").cast("int").alias("id"),
    F.col("Survived").cast("int").alias("survived"),
    F.col("Pclass").cast("int").alias("class"),
    F.lower("Sex").alias("sex"),
    F.col("Age").cast("double").alias("age"),
    (F.col("SibSp").cast("int") + F.col("Parch").cast("int") + 1).alias("family"),
    F.col("Fare").cast("double").alias("fare"),
    F.regexp_extract("Name", r",\s*([A-Za-z ]+)\.", 1).alias("title"),
).dropna(subset=["id", "survived", "class", "sex"])

# An age that is missing becomes the median of those who share class and sex.
alike = Window.partitionBy("class", "sex")
clean = people.withColumn(
    "age", F.coalesce("age", F.expr("percentile_approx(age, 0.5)").over(alike), F.lit(30.0))
).withColumn("fare", F.coalesce("fare", F.lit(0.0)))

out = clean.coalesce(1).sortWithinPartitions("id")
out.write.option("header", "true").mode("append").csv(args.output_dir)
print("wrote", args.output_dir)
spark.stop()
