# SPDX-License-Identifier: Apache-2.0
"""One real Spark in this process, started as spark-submit does it, and Hadoop's own classes in its JVM."""

import contextlib
import os
import urllib.parse
from pathlib import Path


class Spark:
    """properties: a file for spark-submit --properties-file; everything else comes from there."""

    def __init__(self, properties):
        os.environ["PYSPARK_SUBMIT_ARGS"] = f"--properties-file {properties} pyspark-shell"
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        from pyspark.sql import SparkSession

        self.session = SparkSession.builder.getOrCreate()
        self.jvm = self.session._jvm
        self.pid = self.session.sparkContext._gateway.proc.pid

    def stop(self):
        context = type(self.session.sparkContext)
        gateway = context._gateway
        self.session.stop()
        gateway.shutdown()
        gateway.proc.stdin.close()
        gateway.proc.wait()
        context._gateway = context._jvm = None  # the next one starts a JVM with settings of its own

    def files(self, view, more=()):
        """The paths of the files that Spark reads of what `sluice hdfs --output json` said."""
        options = {**view["options"], **view["conf"], **dict(more)}
        found = self.session.read.format("text").options(**options).load(view["uri"]).inputFiles()
        return sorted(urllib.parse.unquote(urllib.parse.urlsplit(x).path) for x in found)

    def conf(self, settings):
        conf = self.jvm.org.apache.hadoop.conf.Configuration()
        for key, value in settings.items():
            conf.set(key, value)
        return conf

    @contextlib.contextmanager
    def file_system(self, uri, conf):
        path = self.jvm.org.apache.hadoop.fs.Path(uri)
        fs = self.jvm.org.apache.hadoop.fs.FileSystem.newInstance(path.toUri(), conf)
        try:
            yield fs, path
        finally:
            fs.close()

    def shell(self, *args):
        """`hadoop fs`: its exit status."""
        words = self.session.sparkContext._gateway.new_array(self.jvm.java.lang.String, len(args))
        for i, word in enumerate(args):
            words[i] = str(word)
        tool = self.jvm.org.apache.hadoop.fs.FsShell(self.jvm.org.apache.hadoop.conf.Configuration())
        try:
            return self.jvm.org.apache.hadoop.util.ToolRunner.run(tool, words)
        finally:
            tool.close()

    def properties(self, text):
        """What Java reads from the text of a .properties file."""
        p = self.jvm.java.util.Properties()
        p.load(self.jvm.java.io.StringReader(text))
        return {k: p.getProperty(k) for k in p.stringPropertyNames()}


def secrets(view):
    """What the references of a view lead to, by property; files only."""
    return {k: Path(ref.removeprefix("file:")).read_text().strip() for k, ref in view["secret_refs"].items()}
