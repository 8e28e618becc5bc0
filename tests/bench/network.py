# SPDX-License-Identifier: Apache-2.0
"""The groups of the bench of mounts that read and write over a network."""

import os
import random
import shutil
import subprocess
import time

import remote
from remote import CONTAINER, NGINX, RCLONE, TOXIPROXY, Blobd, Nginx, Toxiproxy
from rows import DEVNULL, Row, access, command, curl_argv, curl_gets

MIB = 1 << 20
OURS = "sluice mount"


def reader(verb, jobs, name, *rest):
    """Arguments of the reader once the folder is known."""
    return lambda d: [verb, jobs, d / name, *rest]


class Network:
    """Groups of Bench."""

    def seen(self, rows, what):
        """What was sent for what was asked for."""
        row = rows[OURS]
        if row.waste:
            self.sheet.goal(f"{what}: network / program", row.waste, unit="bytes")

    def group_sequential(self):
        names = [f"f{i}" for i in range(4)]
        cases = (
            ("one file", "big", [self.server.at("big/f0")], self.big, {"parts": 16, "size": self.big}, ["big"]),
            ("four files", "four", [self.server.at(f"four/{x}") for x in names], 4 * self.four, {},
             [f"small/f{i:06}" for i in range(4)]),
        )  # fmt: skip
        for label, path, urls, amount, ranges, floors in cases:
            what, n = f"sequential, cold: {label}", len(urls)
            ways = {
                "parallel curl": self.by_curl(curl_gets(urls, **ranges), amount, n),
                **self.by_peers(path, lambda d, n=n: ["seq", n, *[d / f"f{i}" for i in range(n)]]),
            }
            other = remote.adlfs(self.server, "read", f"{CONTAINER}/big/f0") if n == 1 else None
            if other:
                ways["adlfs"] = self.by_program(other, amount, 1)
            ways["FUSE floor"] = self.by_floor(
                lambda d, n=n, floors=floors: ["seq", n, *[d / x for x in floors]], self.big, 4, self.four
            )
            rows = self.contest(what, ways)
            self.judge_sequential(what, rows)

    def judge_sequential(self, what, rows):
        curl, floor, mine = rows["parallel curl"], rows["FUSE floor"], rows[OURS]
        floors = curl.used + floor.used
        allowed = os.cpu_count() / (floors + curl.served)
        limit = min(curl.rate, floor.rate, allowed)
        self.sheet.goal(f"{what}: speed / limit ({limit:.2f} GB/s)", mine.rate / limit, least=0.95)
        self.sheet.goal(f"{what}: CPU / (curl + FUSE floor)", mine.used / floors, most=1.1)
        self.seen(rows, what)
        peers = [r.rate for r in rows.values() if r.who not in ("parallel curl", "FUSE floor", OURS)]
        if peers:
            self.sheet.goal(f"{what}: speed / that of the best peer", mine.rate / max(peers), least=1)
        if "blobfuse2" in rows:
            self.sheet.goal(f"{what}: CPU / that of blobfuse2", mine.used / rows["blobfuse2"].used, most=0.5)

    def group_line(self):
        """A cloud's line: 20 ms, 60 MB/s a connection."""
        if not TOXIPROXY:
            return print("line of 20 ms and 60 MB/s a connection: skipped, $SLUICE_TOXIPROXY names no program")
        proxy = Toxiproxy(self.server.port, 20, 60_000)
        try:
            with self.server.behind(proxy):
                self.datastores(s=self.server.entry())
                what = "line 20 ms, 60 MB/s: one file"
                gets = curl_gets([self.server.at("big/f0")], parts=16, size=self.big)
                rows = self.contest(what, {
                    "parallel curl": self.by_curl(gets, self.big, 1),
                    **self.by_peers("big", reader("seq", 1, "f0")),
                })  # fmt: skip
                self.sheet.goal(f"{what}: speed / parallel curl", rows[OURS].of_limit, least=0.95)
                what, names = "line 20 ms, 60 MB/s: 10 KiB files", self.names("s10", 10)
                path = self.listed("list", names)
                rows = self.contest(what, {
                    "parallel curl": self.by_curl(curl_gets([self.server.at(f"s10/{x}") for x in names]), 0, len(names)),
                    **self.by_peers("s10", lambda d: ["list", 1, d, path]),
                }, "ops")  # fmt: skip
                self.sheet.goal(f"{what}: speed / parallel curl", rows[OURS].of_limit, least=0.8)
        finally:
            proxy.stop()
            self.datastores(s=self.server.entry())

    def group_random(self):
        for delay in (5, 20, 50):
            for kib in (4, 64):
                for jobs in (1, 16):
                    count = max(jobs, int((500 if self.a.quick else 2000) * jobs / delay))
                    count = min(count, self.big // (128 << 10))
                    ways = self.by_peers("big", reader("random", jobs, "f0", count, kib << 10))
                    what = f"random {kib} KiB, {delay} ms, {jobs} at a time"
                    with self.server.delayed(delay):
                        rows = self.contest(what, ways, "ops", ideal=count * delay / 1000 / jobs)
                    self.sheet.goal(f"{what}: IOPS x delay / jobs", rows[OURS].of_limit, least=0.9)
            self.seen(rows, f"random 64 KiB, {delay} ms")

    def group_small(self):
        for delay in (0, 5):
            for kib in (10, 128):
                names = self.names(f"s{kib}", kib)[: 300 if delay else None]
                paths = {
                    "in order": self.listed("ordered", names),
                    "shuffled": self.listed("mixed", random.Random(1).sample(names, len(names))),
                }
                what, folder = f"{kib} KiB files, {delay} ms", f"s{kib}"

                def listing(order, paths=paths):
                    return lambda d: ["list", 1, d, paths[order]]

                urls = [self.server.at(f"{folder}/{x}") for x in names]
                ways = {"parallel curl": self.by_curl(curl_gets(urls), 0, len(names)),
                        **self.by_peers(folder, listing("in order"))}  # fmt: skip
                for who, options, order in (("sluice, no guesses", ["--set=order_ahead=false"], "in order"),
                                            ("sluice, shuffled", [], "shuffled")):  # fmt: skip
                    ways[who] = self.by_mount(lambda f=folder, o=options: self.sluice(f, *o), listing(order))
                with self.server.delayed(delay):
                    rows = self.contest(what, ways, "ops")
                self.sheet.goal(f"{what}, in order: speed / parallel curl", rows[OURS].of_limit, least=0.8)
                self.seen(rows, f"{what}, in order")
                if delay:
                    gain = rows[OURS].rate / rows["sluice, no guesses"].rate
                    self.sheet.goal(f"{what}, in order: speed / without prefetch", gain, least=5)

    def group_download(self):
        out, found = self.work / "out", {}
        small = self.nsmall
        cases = [
            ("one file", "big", self.big, ["f0"], "bytes", {"parts": 16, "size": self.big}),
            ("64 files", "parts", self.big, [f"f{i:02}" for i in range(64)], "bytes", {}),
            ("10 KiB files", "s10", small[10] * 10240, self.names("s10", 10), "ops", {}),
            ("128 KiB files", "s128", small[128] * 131_072, self.names("s128", 128), "ops", {}),
        ]
        for label, path, amount, names, unit, ranges in cases:
            what = f"download: {label}"
            gets = curl_gets([self.server.at(f"{path}/{x}") for x in names], out, **ranges)
            ways = {"parallel curl": self.by_curl(gets, amount, len(names), out)}
            down = ["sluice", "download", "--no-sync", "-w", self.ws]
            programs = {"sluice": [*down, f"s:{path}/", out],
                        "sluice, no check": [*down, "--check-md5", "no-check", f"s:{path}/", out]}  # fmt: skip
            if RCLONE:
                where, more = self.server.rclone()
                programs["rclone copy"] = [RCLONE, "--config", "", "--transfers", "32", *more, "copy", f"{where}/{path}",
                                           out]  # fmt: skip
            other = remote.adlfs(self.server, "get", f"{CONTAINER}/{path}/", f"{out}/")
            if other:
                programs["adlfs"] = other
            for who, argv in programs.items():
                ways[who] = self.by_program(argv, amount, len(names), out)
            found[path] = self.contest(what, ways, unit)
            self.judge_download(what, found[path], unit == "ops")
        shutil.rmtree(out, ignore_errors=True)
        speeds = [found[x]["sluice"].rate for x in ("big", "parts")]
        self.sheet.goal("download: one file and 64 files, slower / faster", min(speeds) / max(speeds), least=0.95)
        self.syncs(out)

    def judge_download(self, what, rows, small):
        mine = rows["sluice"]
        self.sheet.goal(f"{what}: speed / parallel curl", mine.of_limit, least=0.9)
        if not small:
            self.sheet.goal(f"{what}: verified, time / unchecked", mine.time / rows["sluice, no check"].time, most=1.15)
            self.sheet.goal(f"{what}: CPU / (curl + write)", mine.cpu_of_limit, most=1.1)
        if mine.waste:
            self.sheet.goal(f"{what}: network / data", mine.waste, unit="bytes")
        self.sheet.goal(f"{what}: requests for a file", mine.requests / mine.count)

    def syncs(self, out):
        """What makes many small files durable: once a batch, not once a file."""
        if not shutil.which("strace"):
            return print("durability of small files: skipped, strace is not installed")
        trace, names = self.work / "trace", ("fsync", "fdatasync", "syncfs")
        subprocess.run(["strace", "-f", "-qq", "-o", trace, "-e", f"trace={','.join(names)}", "sluice", "download", "-w",
                        self.ws, "s:s10/", out], check=True, stdout=DEVNULL)  # fmt: skip
        lines = trace.read_text().splitlines()
        counts = {x: sum(f" {x}(" in line for line in lines) for x in names}
        n = self.nsmall[10]
        print(f"download of {n} files of 10 KiB: {', '.join(f'{v} {k}' for k, v in counts.items())}")
        self.sheet.goal("download: 10 KiB files: syncs of single files / files",
                        (counts["fsync"] + counts["fdatasync"]) / n, most=0.1)  # fmt: skip
        shutil.rmtree(out, ignore_errors=True)

    def group_upload(self):
        """One file in blocks: curl puts them all at once; the commit, one small request, is left to the others."""
        server = Blobd(self.work, "--anonymous", "--container", "upload", tls=self.a.tls)
        try:
            self.datastores(up=server.entry("upload"))
            source, block, rows = self.work / "data/big/f0", 8 * MIB, []
            with open(source, "rb") as f:
                for i in range(self.big // block):
                    part = self.work / f"block{i}"
                    part.write_bytes(f.read(block))
                    url = f"{server.url}/upload/curl?comp=block&blockid=QUJD{i:04d}"
                    rows.append((url, [f'upload-file = "{part}"']))
            what, argv = "upload: one file", curl_argv(self.work, server, rows)
            config = (self.work / "curl.conf").rename(self.work / "put.conf")
            ways = {
                "parallel curl": [*argv[:-1], config],
                "sluice": ["sluice", "cp", "--overwrite", "-w", self.ws, source, "up:mine"],
                "sluice, no MD5": ["sluice", "cp", "--overwrite", "--check-md5", "no-check", "-w", self.ws, source,
                                   "up:other"],
            }  # fmt: skip
            if RCLONE:
                where, more = server.rclone("upload")
                ways["rclone copy"] = [
                    RCLONE,
                    "--config",
                    "",
                    "--ignore-times",
                    *more,
                    "copy",
                    source,
                    f"{where}/rclone",
                ]
            found = self.contest(
                what,
                {who: lambda row, argv=argv: command(server, row, argv, self.big, 1) for who, argv in ways.items()},
            )
            self.sheet.goal(f"{what}: speed / parallel curl", found["sluice"].of_limit, least=0.9)
        finally:
            server.stop()
            for part in self.work.glob("block*"):
                part.unlink()

    def group_memory(self):
        goals = {"idle": 16, "one stream": 64, "64 streams": 256}
        for name, mount in self.peers("parts").items():
            with mount() as m:
                top = self.inside(name, m, "parts")
                time.sleep(0.3)
                for what, most in goals.items():
                    jobs = {"idle": 0, "one stream": 1, "64 streams": 64}[what]
                    row = Row(f"memory, {what}", name)
                    if jobs:
                        access(m, self.server, row, "seq", jobs, *[top / f"f{i:02}" for i in range(64)][-jobs:])
                        self.sheet.say([row])
                    rss, anonymous, peak = m.memory()
                    print(
                        f"memory, {what}: {name}: {rss:.1f} MiB, anonymous {anonymous:.1f}, peak {peak:.1f}", flush=True
                    )
                    if name != OURS:
                        continue
                    self.sheet.goal(f"memory, {what}", peak if jobs else rss, most=most, unit="MiB")
                    if not jobs:
                        self.sheet.goal(f"memory, {what}: anonymous", anonymous, most=10, unit="MiB")

    def group_first(self):
        """The first byte after an open, in round trips of 20 ms, of files in an order that nobody can guess: no two that
        are listed one after the other, another order at each trial, all mounts the same one."""
        orders = []
        while len(orders) < self.trials + 1:
            way = random.sample(range(64), 16)
            if all(abs(a - b) > 1 for a, b in zip(way, way[1:], strict=False)):
                orders.append([f"f{i:02}" for i in way])
        tries = {}

        def args_of(who):
            def args(d):
                tries[who] = tries.get(who, 0) + 1
                return ["first", 1, *[d / x for x in orders[tries[who] - 1]]]

            return args

        ways = {who: self.by_mount(mount, lambda d, who=who: args_of(who)(self.below(who, d, "parts")))
                for who, mount in self.peers("parts").items()}  # fmt: skip
        with self.server.delayed(20):
            rows = self.contest("first byte, 20 ms", ways, "ops", ideal=0.02 * 16)
        for row in rows.values():
            print(f"first byte: {row.who}: {row.p50 / 20_000:.2f} round trips, {row.net / 16 / 1024:.0f} KiB each")
        self.sheet.goal("first byte after open", rows[OURS].p50 / 20_000, most=1.1, unit="round trips")
        self.sheet.goal("first byte after open: fetched", rows[OURS].net / 16 / 1024, unit="KiB a file")

    def group_touch(self):
        """Pages of a mapping, no two near one another: what is fetched for 4 KiB each."""
        rows = self.contest("50 pages of a mapping", self.by_peers("big", reader("touch", 1, "f0", 50)), "ops")
        for who, row in rows.items():
            print(f"50 touches: {who}: {row.net / MIB:.1f} MiB fetched in {row.requests} requests")
        self.sheet.goal("50 touches of 4 KiB of a mapping: fetched", rows[OURS].net / MIB, unit="MiB")

    def group_sample(self):
        """Two epochs of random small files by 8 processes, as a training loop reads them, 5 ms; the kernel forgets the
        files in between, as it does of a dataset that is larger than memory."""
        names = self.names("sample", None)
        epochs = [self.listed(f"epoch{i}", random.Random(i).sample(names, len(names))) for i in (1, 2)]
        urls = [self.server.at(f"sample/{x}") for x in names]
        ways = [(name, mount, False) for name, mount in self.peers("sample").items()]
        ways.append(("sluice, given order", lambda: self.sluice("sample"), True))
        cache = f"--cache-dir={self.work / 'sampled'}"
        ways.append(("sluice, disk cache", lambda: self.sluice("sample", cache), False))
        found = {}
        with self.server.delayed(5):
            limit = Row("sampling", "parallel curl", "ops")
            command(self.server, limit, curl_argv(self.work, self.server, curl_gets(urls)), 0, len(urls))
            self.sheet.say([limit])
            for who, mount, ordered in ways:
                found[who] = [Row(f"sampling by 8, epoch {i}", who, "ops", limit) for i in (1, 2)]
                with mount() as m:
                    top = self.inside(who, m, "sample")
                    for row, epoch in zip(found[who], epochs, strict=True):
                        if ordered:
                            subprocess.run(
                                ["sluice", "prefetch", m.point, "--order", epoch], check=True, stdout=DEVNULL
                            )
                        access(m, self.server, row, "list", 8, top, epoch)
                        access(None, None, Row("", who), "drop", 1, top, epoch)
                self.sheet.say(found[who])
        for i in (0, 1):
            what = f"sampling, epoch {i + 1}"
            self.sheet.goal(f"{what}, any order: files/s x delay / jobs", found[OURS][i].rate * 0.005 / 8, least=0.9)
            ordered = found["sluice, given order"][i].of_limit
            self.sheet.goal(f"{what}, given order: speed / parallel curl", ordered, least=0.8)
            self.sheet.goal(f"{what}, disk cache: speed / parallel curl", found["sluice, disk cache"][i].of_limit)

    def group_nginx(self):
        """A plain web server: a file by its URL."""
        if not NGINX:
            return print("nginx: skipped, it is not installed")
        web = Nginx(self.work, self.work / "data")
        try:
            for scheme, url, ca in (("http", web.url, None), ("https", web.tls_url, web.ca)):
                what = f"nginx, {scheme}: one file"
                peer = web.over(ca)
                gets = curl_gets([f"{url}/big/f0"], parts=16, size=self.big)
                env = {"SSL_CERT_FILE": str(ca)} if ca else {}
                mounts = {OURS: lambda url=url, env=env: remote.sluice(f"{url}/big/f0", self.point(), env=env)}
                if RCLONE:
                    more = ["--ca-cert", str(ca)] if ca else []
                    mounts["rclone mount"] = lambda url=url, more=more: remote.rclone(
                        f":http,url='{url}/big/':", more, self.point()
                    )
                ways = {"parallel curl": self.by_curl(gets, self.big, 1, server=peer)}
                for who, mount in mounts.items():
                    ways[who] = self.by_mount(mount, reader("seq", 1, "f0"), server=peer)
                rows = self.contest(what, ways)
                self.sheet.goal(f"{what}: speed / parallel curl", rows[OURS].of_limit, least=0.95)
        finally:
            web.stop()
