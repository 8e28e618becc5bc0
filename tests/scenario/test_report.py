# SPDX-License-Identifier: Apache-2.0
"""`sluice job report`: a run as one page that needs no network, runs nothing and believes no name."""

import os
import re
import shutil
import struct
import subprocess
import zlib
from html.parser import HTMLParser

import pytest
from conftest import NOT_FOUND, PATIENCE, RUN_FAILED, local_only, until
from jobs import run_job, show, start_job, wait_for_file, waiting_job, write_job

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(not BROWSER, reason="no Chromium")
TAGS = set(
    "html head meta title style body h1 h2 h3 h4 p br b span div table tr th td ul li a pre code details summary "
    "svg g defs marker path line rect text".split()
)
EVIL = "<script>document.title='owned'</script><img src=http://evil.invalid/x onerror=alert(1)>"

PIPELINE = f"""\
    type: pipeline
    display_name: "</title>{EVIL}"
    description: "]]>--><svg/onload=alert(2)>"
    tags: {{"<b>": "\\u202Egnp.exe"}}
    inputs:
      raw: {{type: uri_folder, path: ./data}}
    outputs:
      final: {{type: uri_folder, name: final_set}}
    jobs:
      prep:
        type: command
        command: >-
          cp ${{{{inputs.raw}}}}/x.csv ${{{{outputs.clean}}}}/ &&
          cat "${{{{inputs.raw}}}}/evil.txt" && head -c 3000000 /dev/zero | tr '\\0' 'y' | fold -w 99 &&
          echo THE-END
        inputs: {{raw: "${{{{parent.inputs.raw}}}}"}}
        outputs: {{clean: {{type: uri_folder}}}}
      left:
        type: command
        command: cat ${{{{inputs.c}}}}/x.csv; echo oops >&2; exit 3
        inputs: {{c: "${{{{parent.jobs.prep.outputs.clean}}}}"}}
      right:
        type: command
        command: cp ${{{{inputs.c}}}}/x.csv ${{{{outputs.o}}}}/
        inputs: {{c: "${{{{parent.jobs.prep.outputs.clean}}}}", n: 7}}
        outputs: {{o: "${{{{parent.outputs.final}}}}"}}
    settings: {{continue_on_step_failure: true}}
"""


class Page(HTMLParser):
    """What a page is made of, and that its elements close in order."""

    VOID = ("meta", "br")
    EMPTY = ("line", "rect", "path")

    def __init__(self, html):
        super().__init__()
        self.tags, self.attrs, self.open, self.text = set(), [], [], []
        self.ids, self.boxes = set(), 0
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attrs += [(tag, name, value) for name, value in attrs]
        self.ids |= {value for name, value in attrs if name == "id"}
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def report(ws, run):
    path = ws.cwd / f"{run}.html"
    assert ws.run("job", "report", run).out.strip() == path.name
    return path


def check_inert(html):
    page = Page(html)
    assert page.tags <= TAGS
    for _, name, value in page.attrs:
        assert not name.startswith("on") and name not in ("src", "srcset", "style", "action"), name
        if name == "href":
            assert value[0] == "#" and value[1:] in page.ids
    assert "default-src 'none'" in html and "unsafe-inline" not in html
    assert not re.search(r"url\((?!#)|@import", html)
    return page


def browse(path, tmp_path, *more):
    """Runs a real browser that reaches no network; gives what it printed and what it complained of."""
    done = subprocess.run(
        [
            *(BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
            *("--no-first-run", "--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr"),
            *(f"--user-data-dir={tmp_path}/browser", "--window-size=1000,1600", *more, path.as_uri()),
        ],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=PATIENCE * 4,
        check=False,
    )
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def first_pixel(png):
    data, at, raw = png.read_bytes(), 8, b""
    while at < len(data):
        (n,) = struct.unpack(">I", data[at : at + 4])
        if data[at + 4 : at + 8] == b"IDAT":
            raw += data[at + 8 : at + 8 + n]
        at += 12 + n
    return tuple(zlib.decompress(raw)[1:4])


@pytest.fixture
def pipeline(ws):
    (ws.cwd / "data").mkdir()
    (ws.cwd / "data/x.csv").write_text("a,b\n1,2\n")
    (ws.cwd / "data/evil.txt").write_bytes(EVIL.encode() + b"\n\x1b[31mred\x1b[0m \xff\x00\xe2\x80\xae</pre>\n")
    return run_job(ws, write_job(ws, "p.yml", PIPELINE), code=RUN_FAILED)


def test_a_report_shows_the_run_and_believes_nothing(ws, pipeline):
    html = report(ws, pipeline).read_text()
    page = check_inert(html)
    text = "".join(page.text)
    for child in show(ws, pipeline)["children"]:
        assert child["run"] in text
    assert EVIL in text and "</pre>" in text and "\\xe2\\x80\\xae" in text
    assert "red \\xff\\x00" in text and "oops" in text and "THE-END" in text
    assert "peak_memory_bytes" in text and "input raw asked_bytes" in text and "no earlier run" in text
    assert "are left out here" in text and len(html) < 1_000_000
    assert "exit status 3" in text or "status 3" in text
    assert "final_set:1" in text and "prep · clean" in text
    assert html.count('class="edge"') == 4  # data to prep, prep to both, right to the dataset
    assert ws.json("data", "show", "final_set@1")["dataset"] in text


@needs_browser
@local_only
def test_a_browser_shows_it_without_a_network(ws, pipeline, tmp_path):
    path = report(ws, pipeline)
    out, complaints = browse(path, tmp_path, "--dump-dom")
    assert complaints == []
    dom = Page(out)
    assert dom.tags <= TAGS | {"tbody"}
    assert "owned" not in re.search("<title>.*?</title>", out).group().replace("='owned'", "")
    shots = [tmp_path / "light.png", tmp_path / "dark.png"]
    browse(path, tmp_path, f"--screenshot={shots[0]}")
    browse(path, tmp_path, "--force-dark-mode", f"--screenshot={shots[1]}")
    assert min(first_pixel(shots[0])) > 200 > 60 > max(first_pixel(shots[1]))
    assert all(s.stat().st_size > 20_000 for s in shots)
    # The policy holds, and the browser tells when it has to: a page that was tampered with.
    bad = tmp_path / "bad.html"
    bad.write_text(path.read_text().replace("<h2 ", "<script>alert(1)</script><h2 style='color:red' ", 1))
    _, complaints = browse(bad, tmp_path, "--dump-dom")
    assert any("script-src" in c for c in complaints) and any("style-src" in c for c in complaints)


def test_a_report_names_the_version_that_was_read(ws):
    ws.put("d/x", "1")
    ws.register("d", "d")
    inputs = "inputs: {x: {type: uri_folder, mode: download, path: 'azureml:d@latest'}}\n"
    run = run_job(ws, write_job(ws, "j.yml", "type: command\ncommand: ls ${{inputs.x}}\n" + inputs))
    ws.put("d/y", "2")
    ws.register("d", "d")
    html = report(ws, run).read_text()
    check_inert(html)
    assert "<td>d:1</td>" in html and ">d:1</text>" in html and "azureml:d@latest" not in html and "d:2" not in html


@local_only
def test_a_run_that_goes_on_can_be_reported(ws):
    path, keep = waiting_job(ws)
    run = start_job(ws, path)
    wait_for_file(ws.cwd / "started")
    html = ws.run("job", "report", run, "--file", "-").out
    assert "Running" in "".join(check_inert(html).text)
    ws.run("job", "cancel", run)
    os.close(keep)
    until("it has ended", lambda: show(ws, run)["status"] == "Canceled")


@local_only
def test_what_cannot_be_reported_is_told(ws):
    assert "no run 'nothing'" in ws.run("job", "report", "nothing", code=NOT_FOUND).err
    run = run_job(ws, write_job(ws, "j.yml", "type: command\ncommand: echo hello\n"))
    assert "none/r.html" in ws.run("job", "report", run, "--file", "none/r.html", code=NOT_FOUND).err
    assert "hello" in ws.run("job", "report", run, "-f", "-").out
