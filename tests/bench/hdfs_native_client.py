# SPDX-License-Identifier: Apache-2.0
"""hdfs-native (Rust, by its Python package), for tests/bench/hdfs: the patterns of tests/bench/client.c.
Usage: hdfs_native_client.py hdfs://HOST:PORT PATTERN PATH [COUNT|SIZE [LEN]]"""

import os
import sys
import time

import hdfs_native

CHUNK = 1 << 20


class Run:
    def __init__(self, client, path, amount=0, length=0):
        self.client, self.path, self.amount, self.length = client, path, amount, length
        self.bytes, self.count, self.us = 0, 0, []

    def done_one(self, began, n):
        self.us.append((time.perf_counter() - began) * 1e6)
        self.bytes += n
        self.count += 1

    def seq(self):
        """What its documents call the most efficient way."""
        with self.client.read(self.path) as f:
            for piece in f.read_range_stream(0, len(f)):
                self.bytes += len(piece)
                self.count += 1

    def random(self):
        with self.client.read(self.path) as f:
            places = len(f) // self.length
            for i in range(self.amount):
                began = time.perf_counter()
                self.done_one(began, len(f.read_range(i * 7919 % places * self.length, self.length)))

    def stat(self):
        for _ in range(self.amount):
            began = time.perf_counter()
            self.client.get_file_info(self.path)
            self.done_one(began, 0)

    def list(self):
        for _ in self.client.list_status(self.path):
            self.count += 1

    def write(self):
        piece = b"x" * CHUNK
        with self.client.create(self.path, hdfs_native.WriteOptions(overwrite=True)) as f:
            for off in range(0, self.amount, CHUNK):
                n = min(CHUNK, self.amount - off)
                f.write(piece if n == CHUNK else piece[:n])
                self.bytes += n
        self.count = 1


def at(us, part):
    return us[int((len(us) - 1) * part)] if us else 0


def peak():
    with open("/proc/self/status") as f:
        return next(line.split()[1] for line in f if line.startswith("VmHWM:"))


def main():
    client, pattern, path = hdfs_native.Client(sys.argv[1]), sys.argv[2], sys.argv[3]
    numbers = [int(x) for x in sys.argv[4:]]
    getattr(Run(client, path, *numbers), pattern)()
    run = Run(client, path, *numbers)
    began, before = time.perf_counter(), time.process_time()
    getattr(run, pattern)()
    took, worked = time.perf_counter() - began, time.process_time() - before
    run.us.sort()
    print(f"{took:.6f} {worked:.6f} {run.bytes} {run.count} {at(run.us, 0.5):.1f} {at(run.us, 0.99):.1f} {peak()}")
    sys.stdout.flush()
    os._exit(0)  # its threads may outlive it


main()
