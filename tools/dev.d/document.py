# SPDX-License-Identifier: Apache-2.0
"""Runs the examples of a document: python document.py FILE [FOLDER].

Fenced blocks are run in their order, in one folder: `sh` line by line, `python` whole; `yaml NAME` becomes that file.
A comment before a block says what it needs ("<!-- needs: fuse spark -->"); where that is not there it is passed over.
"<!-- not run: WHY -->" passes over it everywhere.  The first failure ends it, with that exit status.
"""

import contextlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile

BLOCK = re.compile(r"(?:^<!-- (needs|not run): ([^\n]*?) *-->\n)?^```(\w*) ?([^\n]*)\n(.*?)^```$", re.M | re.S)


def _fuse():
    with contextlib.suppress(OSError):
        os.close(os.open("/dev/fuse", os.O_RDWR))
        return True
    return False


def there(need):
    if need == "fuse":
        return _fuse()
    if need == "python":
        return True
    java = shutil.which("java") is not None or "JAVA_HOME" in os.environ
    return java and there("pyspark") if need == "spark" else importlib.util.find_spec(need) is not None


class Document:
    """text: of the document.  has: is what a block needs there?"""

    def __init__(self, text, folder, has=there, say=lambda text: None):
        self.text, self.cwd, self.has, self.say, self.ran = text, str(folder), has, say, 0

    def run(self):
        """The exit status of the first command that failed, or 0."""
        at = 0
        for found in BLOCK.finditer(self.text):
            self.say(prose(self.text[at : found.start()]))
            at = found.end()
            status = self.block(*found.groups())
            if status:
                return status
        self.say(prose(self.text[at:]))
        return 0

    def block(self, mark, what, language, name, body):
        missing = [x for x in what.split() if not self.has(x)] if mark == "needs" else []
        if mark == "not run" or missing:
            self.say(f"  (passed over: {' '.join(missing) + ' is not here' if missing else what})\n")
            return 0
        if language == "yaml" and name:
            self.say(indented(body))
            with open(os.path.join(self.cwd, name), "w") as f:
                f.write(body)
        elif language == "python":
            self.say(indented(body))
            return self.command([sys.executable, "-"], body)
        elif language == "sh":
            for line in commands(body):
                self.say(f"  $ {line}\n")
                status = self.command(["bash", "-euc", f'{line}\nstatus=$?; pwd >&"$PLACE"; exit $status'], "")
                if status:
                    return status
        return 0

    def command(self, argv, given):
        place, end = os.pipe()
        with os.fdopen(place) as place:
            done = subprocess.Popen(
                argv, cwd=self.cwd, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                env={**os.environ, "PLACE": str(end), "PYTHONUNBUFFERED": "1"}, pass_fds=[end],
            )  # fmt: skip
            os.close(end)
            with contextlib.suppress(BrokenPipeError):
                done.stdin.write(given)
                done.stdin.close()
            for line in done.stdout:
                self.say(f"    {line}")
            self.ran += 1
            status = done.wait()
            # a program that stays, such as a mount, may have the pipe as well: no end is waited for
            if argv[0] == "bash" and status == 0:
                self.cwd = place.readline().rstrip("\n") or self.cwd
        return status


def commands(body):
    """The lines of a script, without comments; one that ends with a backslash goes on."""
    for line in body.replace("\\\n", " ").split("\n"):
        line = re.sub(r"(^| )\s*# .*", "", line).rstrip()
        if line:
            yield line


def indented(text):
    return "".join(f"  > {line}\n" for line in text.splitlines())


def prose(text):
    text = re.sub(r"\]\([^)]*\)", "]", re.sub(r"<!--.*?-->\n?", "", text))
    text = re.sub(r"\n{2,}", "\n\n", text).strip("\n")
    bold = sys.stdout.isatty()
    text = re.sub(r"^#+ (.*)$", "\033[1m\\1\033[0m" if bold else r"== \1", text, flags=re.M)
    return f"\n{text}\n\n" if text else ""


def main():
    with open(sys.argv[1]) as f:
        text = f.read()

    def say(line):
        sys.stdout.write(line)
        sys.stdout.flush()

    if len(sys.argv) > 2:
        return Document(text, sys.argv[2], say=say).run()
    with tempfile.TemporaryDirectory(prefix="sluice-demo-", ignore_cleanup_errors=True) as folder:
        try:
            return Document(text, folder, say=say).run()
        finally:
            mount = os.path.join(folder, "mnt")
            if os.path.ismount(mount):
                subprocess.run(["sluice", "unmount", mount], check=False, capture_output=True)


if __name__ == "__main__":
    sys.exit(main())
