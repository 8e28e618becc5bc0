# SPDX-License-Identifier: Apache-2.0
"""The lines of the bench of mounts: how one is measured, the table of what was measured, the table of goals."""

import json
import os
import statistics
import subprocess
from pathlib import Path

from remote import BUILD

DEVNULL = subprocess.DEVNULL
FIGURES = ("seconds", "cpu", "server_cpu", "net", "requests", "p50", "p99")  # of each trial
LIMITS = ("parallel curl", "FUSE floor", "local file")  # who of a contest is what the others are compared with
HEAD = f"{'what':36} {'who':20} {'median':>13} +-   /limit {'CPU':>13} /lim  RSS MiB net/app     req   p50 us   p99 us"


class Row:
    """One line of the table. unit: bytes (GB/s), ops (/s), or s (seconds alone). ideal: seconds at best."""

    def __init__(self, what, who, unit="bytes", limit=None, ideal=None):
        self.what, self.who, self.unit, self.limit, self.ideal = what, who, unit, limit, ideal
        self.amount = self.count = self.rss = 0
        self.trials = {k: [] for k in FIGURES}

    def add(self, seconds, cpu, amount=0, count=0, rss=0, **figures):
        self.amount, self.count, self.rss = amount, count, max(rss, self.rss)
        for name, value in {"seconds": seconds, "cpu": cpu, **figures}.items():
            self.trials[name].append(value)

    def middle(self, name):
        """The median without the first."""
        values = self.trials[name]
        return statistics.median(values[1:] or values) if values else 0

    net = property(lambda self: self.middle("net"))
    requests = property(lambda self: self.middle("requests"))
    p50 = property(lambda self: self.middle("p50"))
    p99 = property(lambda self: self.middle("p99"))

    @property
    def kept(self):
        return self.trials["seconds"][1:] or self.trials["seconds"]

    @property
    def units(self):
        return self.amount / 1e9 if self.unit == "bytes" else max(self.count, 1)

    @property
    def time(self):
        """Of one unit."""
        return self.middle("seconds") / self.units

    @property
    def rate(self):
        return 1 / self.time

    @property
    def used(self):
        """Processor seconds of a unit."""
        return self.middle("cpu") / self.units

    @property
    def served(self):
        """The server's."""
        return self.middle("server_cpu") / self.units

    @property
    def spread(self):
        return (max(self.kept) - min(self.kept)) / self.middle("seconds") if any(self.kept) else 0

    @property
    def of_limit(self):
        if self.ideal:
            return self.ideal / self.middle("seconds")
        return self.limit.time / self.time if self.limit else None

    @property
    def cpu_of_limit(self):
        return self.used / self.limit.used if self.limit and self.limit.used else None

    @property
    def waste(self):
        """Bytes that were sent for one that was asked for."""
        return self.net / self.amount if self.net and self.amount else None

    def speed(self):
        if self.unit == "bytes":
            return f"{self.rate:.3f} GB/s"
        return f"{self.time:.3f} s" if self.unit == "s" else f"{self.rate:.0f} /s"

    def work(self):
        return f"{self.used:.3f} s/GB" if self.unit == "bytes" else f"{self.used * 1e6:.1f} us"

    def cells(self):
        def number(value, form):
            return format(value, form) if value else ""

        return [
            self.what, self.who, self.speed(), f"{self.spread:.0%}", number(self.of_limit, ".2f"), self.work(),
            number(self.cpu_of_limit, ".2f"), number(self.rss, ".0f"), number(self.waste, ".2f"),
            number(self.requests, ".0f"), number(self.p50, ".0f"), number(self.p99, ".0f"),
        ]  # fmt: skip

    def line(self):
        widths = (-36, -20, 13, 4, 6, 14, 5, 7, 7, 7, 8, 8)
        return " ".join(f"{c:{'<' if w < 0 else '>'}{abs(w)}}" for c, w in zip(self.cells(), widths, strict=True))


class Sheet:
    """All that was measured, and how it stands to what is wanted."""

    def __init__(self):
        self.rows, self.goals = [], []

    def say(self, rows):
        for row in rows:
            print(row.line(), flush=True)
        self.rows += rows

    def goal(self, what, got, least=None, most=None, unit=""):
        """One line of the table of goals; without a bound it is only told."""
        wanted = f">= {least:g}" if least is not None else f"<= {most:g}" if most is not None else ""
        met = (least is None or got >= least) and (most is None or got <= most)
        verdict = ("met" if met else "SHORT") if wanted else ""
        self.goals.append({"what": what, "wanted": wanted and f"{wanted} {unit}".strip(), "got": got, "unit": unit,
                           "verdict": verdict})  # fmt: skip

    def table(self):
        return [(g["what"], g["wanted"], f"{g['got']:.3g} {g['unit']}".strip(), g["verdict"]) for g in self.goals]

    def show_goals(self):
        rows = self.table()
        if not rows:
            return
        widths = [max(len(r[i]) for r in rows) for i in range(4)]
        print("\ngoals")
        for r in rows:
            print(f"{r[0]:{widths[0]}}  {r[1]:>{widths[1]}}  {r[2]:>{widths[2]}}  {r[3]}".rstrip())
        verdicts = [r[3] for r in rows if r[3]]
        print(f"{verdicts.count('met')} of {len(verdicts)} goals met")

    def markdown(self, title):
        def table(head, rows):
            lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
            return "\n".join(lines + ["| " + " | ".join(r) + " |" for r in rows])

        head = ["what", "who", "median", "+-", "of limit", "CPU", "of limit", "RSS MiB", "net/app", "requests", "p50 us",
                "p99 us"]  # fmt: skip
        return (
            f"# {title}\n\n{table(['goal', 'wanted', 'measured', ''], self.table())}\n\n"
            f"{table(head, [r.cells() for r in self.rows])}\n"
        )

    def json(self):
        kept = (
            "what",
            "who",
            "unit",
            "amount",
            "count",
            "rss",
            "trials",
            "spread",
            "of_limit",
            "cpu_of_limit",
            "waste",
        )
        rows = [{k: getattr(r, k) for k in kept} for r in self.rows]
        return json.dumps({"goals": self.goals, "rows": rows}, indent=1) + "\n"

    def write(self, title, markdown, as_json):
        if markdown:
            Path(markdown).write_text(self.markdown(title))
        if as_json:
            Path(as_json).write_text(self.json())


# --- one trial ---


def access(served, server, row, *args):
    """Of a reader in a mount (or in a folder: served None); server: it counts."""
    if server:
        server.forget()
    before, served_before = served.cpu() if served else 0, server.cpu() if server else 0
    out = subprocess.run([BUILD / "tests/bench/access", *map(str, args)], capture_output=True, text=True, check=False)
    if out.returncode:
        raise SystemExit(f"bench: {row.what}, {row.who}: {out.stderr}")
    seconds, cpu, nbytes, count, p50, p99 = map(float, out.stdout.split())
    more = {"amount": nbytes, "count": count, "p50": p50, "p99": p99}
    if server:
        more["server_cpu"] = server.cpu() - served_before
        more["requests"], more["net"] = server.counted()
    if served:
        cpu += served.cpu() - before
        more["rss"] = served.memory()[2]
    row.add(seconds, cpu, **more)


def command(server, row, argv, amount, count, cwd=None):
    """Of a whole program."""
    server.forget()
    served_before = server.cpu()
    r, w = os.pipe()
    script = f'exec "$0" "$@" 3>&{w}'
    argv = [str(a) for a in (BUILD / "tests/bench/timed", *argv)]
    p = subprocess.Popen(["sh", "-c", script, *argv], pass_fds=(w,), stdout=DEVNULL, stderr=subprocess.PIPE, cwd=cwd)
    os.close(w)
    err = p.stderr.read().decode(errors="replace")
    with os.fdopen(r) as report:
        seconds, cpu, rss, status = map(float, report.read().split() or (0, 0, 0, 1))
    p.wait()
    if status:
        raise SystemExit(f"bench: {row.what}, {row.who}: it failed: {err[-1500:]}")
    requests, net = server.counted()
    row.add(seconds, cpu, amount=amount, count=count, rss=rss / 1024, requests=requests, net=net,
            server_cpu=server.cpu() - served_before)  # fmt: skip


def curl_argv(work, server, rows):
    """curl, all at once. rows: (URL, more lines of its configuration)."""
    common = ["silent", "fail", *([f'cacert = "{server.ca}"'] if server.ca else [])]
    path = work / "curl.conf"
    path.write_text("\nnext\n".join("\n".join([f'url = "{url}"', *common, *more]) for url, more in rows) + "\n")
    return ["curl", "--parallel", "--parallel-immediate", "--parallel-max", "64", "-K", path]


def curl_gets(urls, out=None, parts=1, size=0):
    """Rows for curl_argv; parts: ranges of the only URL of so many bytes; out: a folder for what comes, else it is
    dropped."""
    spans = [f"{i * (size // parts)}-{(i + 1) * (size // parts) - 1}" for i in range(parts)] if parts > 1 else []
    rows = [(urls[0], [f'range = "{x}"']) for x in spans] or [(u, []) for u in urls]
    return [(url, [*more, f'output = "{out / str(i) if out else os.devnull}"']) for i, (url, more) in enumerate(rows)]
