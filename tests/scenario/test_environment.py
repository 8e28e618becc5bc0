# SPDX-License-Identifier: Apache-2.0
"""Environments of steps: real venvs with a package made here, so that no index is asked."""

import base64
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import zipfile

import pytest
from conftest import BAD_INPUT, EXISTS, NOT_FOUND, NOT_SUPPORTED, RUN_FAILED, RUNG, until
from jobs import run_job, show, start_job, std_log, supervisor_of, write_job

pytestmark = [
    pytest.mark.local_only,
    pytest.mark.skipif(RUNG != "scenario", reason="venv and pip are not what the sanitizers watch"),
    pytest.mark.xdist_group("environment"),
]


def wheel(folder, name, version):
    """A package of one module that says its version."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"VERSION = '{version}'\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},"
        f"{len(text)}\n"
        for path, text in files.items()
    )
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as z:
        for path, text in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            z.writestr(path, text)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One package to install and one cache: what a test makes, the next one finds."""
    folder = tmp_path_factory.mktemp("environments")
    wheel(folder / "wheels", "tinypack", "1.0")
    return folder


@pytest.fixture
def envs(ws, shared):
    """A workspace with that package, as requirements.txt and conda.yml have it."""
    ws.env["XDG_CACHE_HOME"] = str(shared)
    ws.env["PIP_CONFIG_FILE"] = os.devnull
    (ws.cwd / "requirements.txt").write_text(f"--no-index\n--find-links {shared}/wheels\ntinypack>=1.0\n")
    (ws.cwd / "conda.yml").write_text(
        "name: tiny\ndependencies:\n- python>=3.8\n- pip:\n  - -r requirements.txt\n  - azureml-core>=1.20.0\n"
    )
    return ws


JOB = """
    type: command
    command: python -c "import tinypack, sys; print(tinypack.VERSION, sys.prefix)"
    environment: {environment}
    """


def kept(ws):
    return ws.json("environment", "list")


def test_a_conda_file_becomes_a_venv_that_later_runs_find(envs):
    ws = envs
    job = write_job(ws, "job.yml", JOB.format(environment="{image: some/image, conda_file: ./conda.yml}"))
    first, second = run_job(ws, job), run_job(ws, job)
    (one,) = kept(ws)
    assert std_log(ws, first) == std_log(ws, second) == f"1.0 {one['path']}\n"
    got = show(ws, first)
    assert got["environment"]["key"] == one["key"] and not got["environment"]["cached"]
    assert show(ws, second)["environment"]["cached"]
    assert [n for n in got["notes"] if "some/image" in n] and [n for n in got["notes"] if "azureml-core" in n]
    assert "tinypack" in (ws.runs() / first / "logs/azureml/20_image_build_log.txt").read_text()
    assert ws.json("environment", "show", "tiny")["packages"].endswith("tinypack>=1.0\n")
    said = ws.run("environment", "show", "tiny").out
    assert f"packages: --no-index, --find-links {envs.env['XDG_CACHE_HOME']}/wheels, tinypack>=1.0\n" in said
    # The same packages from another file are the same environment; other packages are another.
    assert ws.json("environment", "build", "requirements.txt")["key"] == one["key"]


def test_what_a_killed_builder_left_is_made_anew_and_others_wait(envs):
    ws = envs
    ws.env["XDG_CACHE_HOME"] = str(ws.cwd / "cache")
    job = write_job(ws, "job.yml", JOB.format(environment="./requirements.txt"))
    folder = ws.cwd / "cache/sluice/environments"
    # pip waits for its settings.
    os.mkfifo(ws.cwd / "pip.conf")
    run = start_job(ws, job, env={"PIP_CONFIG_FILE": str(ws.cwd / "pip.conf")})
    until("it is being made", lambda: list(folder.glob("*/env/bin")))
    os.kill(supervisor_of(run), signal.SIGKILL)
    until("it is Failed", lambda: show(ws, run)["status"] == "Failed")
    assert kept(ws) == []
    runs = [start_job(ws, job) for _ in range(3)]
    for one in runs:
        ws.run("job", "stream", one)
    assert len(kept(ws)) == 1
    # One made it, the others found it.
    assert sorted(show(ws, one)["environment"]["cached"] for one in runs) == [False, True, True]


def test_what_cannot_be_had_is_named(envs):
    ws = envs
    before = kept(ws)
    job = write_job(ws, "job.yml", JOB.format(environment=f"[--no-index, --find-links {ws.cwd}, nosuchpack]"))
    why = show(ws, run_job(ws, job, code=RUN_FAILED))["reason"]
    assert "nosuchpack" in why and "20_image_build_log.txt" in why
    job = write_job(ws, "job.yml", JOB.format(environment="{conda_file: {dependencies: [cudatoolkit=11]}}"))
    err = ws.run("job", "create", "-f", job, code=NOT_SUPPORTED, env={"PATH": f"{path_to_sluice()}:/bin"}).err
    assert "cudatoolkit=11" in err and "job.yml:" in err
    job = write_job(ws, "job.yml", JOB.format(environment="{conda_fille: x}"))
    assert "conda_file" in ws.run("job", "create", "-f", job, code=BAD_INPUT).err
    job = write_job(ws, "job.yml", JOB.format(environment="{pip: [x]}"))
    err = ws.run("job", "validate", job, code=BAD_INPUT).err
    assert "job.yml:4:15'" in err and "environment: [PACKAGE, ...]" in err
    job = write_job(ws, "job.yml", JOB.format(environment="{dependencies: [x]}"))
    assert "conda_file: {dependencies" in ws.run("job", "validate", job, code=BAD_INPUT).err
    assert kept(ws) == before


def test_constraints_are_part_of_the_environment(envs):
    """And a Python that warns does not get in the way."""
    ws = envs
    for version in ("1.0", "2.0"):
        wheel(ws.cwd / "wheels", "tinypack", version)
    shims = ws.cwd / "shims"
    shims.mkdir()
    (shims / "python").write_text(f'#!/bin/sh\necho "a warning" >&2\nexec {sys.executable} "$@"\n')
    (shims / "python").chmod(0o755)
    (ws.cwd / "requirements.txt").write_text("--no-index\n-f wheels\n--constraint=low.txt\ntinypack\n")
    job = write_job(ws, "job.yml", JOB.format(environment="./requirements.txt"))
    path = {"PATH": f"{shims}:{os.environ['PATH']}"}
    for limit, version in (("2", "1.0"), ("3", "2.0")):
        (ws.cwd / "low.txt").write_text(f"tinypack<{limit}\n")
        run = run_job(ws, job, env=path)
        assert version in std_log(ws, run)
        assert (
            ws.json("environment", "show", show(ws, run)["environment"]["key"])["constraints"] == f"tinypack<{limit}\n"
        )
    (ws.cwd / "requirements.txt").write_text("-c https://host.example/low.txt\n")
    assert "save it beside" in ws.run("job", "validate", job, code=BAD_INPUT).err


def test_a_name_of_a_python_that_does_not_run_is_passed_over(envs):
    ws = envs
    shims = ws.cwd / "shims"
    shims.mkdir()
    for name in ("python3.6", "python3"):
        (shims / name).write_text(f'#!/bin/sh\necho "pyenv: {name}: command not found" >&2\nexit 127\n')
        (shims / name).chmod(0o755)
    # The packages that the other tests have: the same environment.
    conda = (ws.cwd / "conda.yml").read_text().replace("python>=3.8", "python=3.6")
    (ws.cwd / "conda.yml").write_text(conda)
    job = write_job(ws, "job.yml", JOB.format(environment="{conda_file: ./conda.yml}"))
    path = {"PATH": f"{shims}:{os.environ['PATH']}"}
    assert std_log(ws, run_job(ws, job, env=path)).startswith("1.0 ")
    assert ws.run("environment", "build", "requirements.txt", env=path).err == ""
    # Where there is no other, the environment and the way out are named.
    (shims / "sluice").symlink_to(os.path.join(path_to_sluice(), "sluice"))
    for name in ("bash", "sh", "cat"):
        (shims / name).symlink_to(f"/bin/{name}")
    path = {"PATH": str(shims)}
    why = show(ws, run_job(ws, job, code=RUN_FAILED, env=path))["reason"]
    assert "environment 'tiny'" in why and '"python" of the compute' in why
    err = ws.run("environment", "build", "requirements.txt", code=NOT_FOUND, env=path).err
    assert "environment 'requirements'" in err and "--python" in err


def path_to_sluice():
    return os.path.dirname(subprocess.check_output(["/bin/sh", "-c", "command -v sluice"], text=True).strip())


def test_it_takes_no_longer_than_its_limit(envs):
    ws = envs
    # A requirement that waits for a server that never answers.
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/simple"
        job = write_job(ws, "job.yml", JOB.format(environment=f"[--index-url {url}, nosuchpack]"))
        why = show(ws, run_job(ws, job, code=RUN_FAILED, env={"SLUICE_ENVIRONMENT_TIMEOUT": "3"}))["reason"]
    assert "within 3 s" in why and "SLUICE_ENVIRONMENT_TIMEOUT" in why


def test_names_of_config_json(envs):
    ws = envs
    config = json.loads(ws.config.read_text())
    config["environments"] = {"mine": "./conda.yml"}
    ws.config.write_text(json.dumps(config))
    run = run_job(ws, write_job(ws, "job.yml", JOB.format(environment="azureml:mine@latest")))
    assert std_log(ws, run).startswith("1.0 ")
    other = JOB.replace("import tinypack, sys; print(tinypack.VERSION, sys.prefix)", "print(1)")
    run = run_job(ws, write_job(ws, "job.yml", other.format(environment="azureml:AzureML-sklearn-1.0@latest")))
    assert [n for n in show(ws, run)["notes"] if "AzureML-sklearn-1.0" in n]


def test_conda_makes_what_asks_for_conda(envs):
    """A stand-in for conda: what it is asked for, and that its prefix is used."""
    ws = envs
    (ws.cwd / "bin").mkdir()
    (ws.cwd / "bin/mamba").write_text(
        '#!/bin/sh\necho "$@" > CWD/asked\ncp environment.yml CWD/got.yml\n'
        'while [ "$1" != --prefix ]; do shift; done\nmkdir -p "$2/bin"\n'
        'printf \'#!/bin/sh\\necho from-conda $CONDA_PREFIX\\n\' > "$2/bin/python"\nchmod +x "$2/bin/python"\n'.replace(
            "CWD", str(ws.cwd)
        )
    )
    (ws.cwd / "bin/mamba").chmod(0o755)
    ws.env["PATH"] = f"{ws.cwd}/bin:{ws.env['PATH']}"
    text = JOB.format(environment="{conda_file: {channels: [conda-forge], dependencies: [cudatoolkit=11]}}")
    run = run_job(ws, write_job(ws, "job.yml", text))
    (one,) = [x for x in kept(ws) if x["kind"] == "conda"]
    assert std_log(ws, run) == f"from-conda {one['path']}\n"
    assert "env create" in (ws.cwd / "asked").read_text() and "cudatoolkit=11" in (ws.cwd / "got.yml").read_text()


def test_one_that_is_used_stays(envs):
    ws = envs
    os.mkfifo(ws.cwd / "pipe")
    keep = os.open(ws.cwd / "pipe", os.O_RDWR)
    text = JOB.format(environment="./requirements.txt").replace(
        'python -c "import tinypack, sys; print(tinypack.VERSION, sys.prefix)"', f"read x < {ws.cwd}/pipe"
    )
    run = start_job(ws, write_job(ws, "job.yml", text))
    until("it runs", lambda: show(ws, run)["status"] == "Running")
    one = ws.json("environment", "show", show(ws, run)["environment"]["key"])
    assert "used" in ws.run("environment", "delete", one["key"], code=EXISTS).err
    os.write(keep, b"go\n")
    ws.run("job", "stream", run)
    os.close(keep)
    ws.run("environment", "delete", one["key"][:8])
    assert not os.path.exists(one["path"])
    ws.run("environment", "delete", one["key"][:8], code=NOT_FOUND)


def test_an_image_runs_in_a_container_or_is_noted(envs):
    """A stand-in for docker: what it is asked for; without one that answers the step runs here, noted once."""
    ws = envs
    (ws.cwd / "bin").mkdir()
    (ws.cwd / "bin/docker").write_text(
        f'#!/bin/sh\necho "$@" >> {ws.cwd}/asked\n[ "$1" = run ] || exit 0\n'
        'while [ "$1" != some/image:1 ]; do shift; done\nshift\nexec "$@"\n'
    )
    (ws.cwd / "bin/docker").chmod(0o755)
    text = """
        type: command
        command: echo in $KEY > ${{outputs.o}}/x
        environment: {image: "some/image:1"}
        environment_variables: {KEY: geheim}
        outputs: {o: {name: made}}
        """
    job = write_job(ws, "job.yml", text)
    # The variable is one of the run also when it is here with the same value.
    run = run_job(ws, job, env={"PATH": f"{ws.cwd}/bin:{ws.env['PATH']}", "KEY": "geheim"})
    asked = (ws.cwd / "asked").read_text()
    folder = ws.runs() / run
    assert f"--volume {folder}:{folder} --workdir {folder}/code" in asked and "some/image:1 /bin/sh -c" in asked
    assert "--env KEY" in asked and "geheim" not in asked and f"rm --force sluice-{run}" in asked
    assert not show(ws, run).get("notes") and ws.versions("made") == ["1"]
    (ws.cwd / "bin/docker").write_text("#!/bin/sh\nexit 1\n")
    (ws.cwd / "bin/podman").write_text("#!/bin/sh\nexit 1\n")
    (ws.cwd / "bin/podman").chmod(0o755)
    run = run_job(ws, job, env={"PATH": f"{ws.cwd}/bin:/usr/bin:/bin:{path_to_sluice()}"}, code=0)
    assert len([n for n in show(ws, run)["notes"] if "some/image:1" in n]) == 1


def test_a_container_goes_with_its_supervisor(envs):
    """Its client is killed with the step; the container is the daemon's, and is removed by whoever finds the run dead."""
    ws = envs
    (ws.cwd / "bin").mkdir()
    (ws.cwd / "bin/docker").write_text(
        f'#!/bin/sh\necho "$@" >> {ws.cwd}/asked\n[ "$1" = run ] || exit 0\nexec tail -f /dev/null\n'
    )
    (ws.cwd / "bin/docker").chmod(0o755)
    text = "command: 'true'\nenvironment: {image: 'some/image:1'}\n"
    run = start_job(ws, write_job(ws, "job.yml", text), env={"PATH": f"{ws.cwd}/bin:{ws.env['PATH']}"})
    asked = ws.cwd / "asked"
    until("it runs", lambda: asked.exists() and f"--name sluice-{run}" in asked.read_text())
    assert "rm --force" not in asked.read_text()
    os.kill(supervisor_of(run), signal.SIGKILL)
    until("it is Failed", lambda: show(ws, run)["status"] == "Failed")
    until("it is removed", lambda: f"rm --force sluice-{run}" in asked.read_text())
