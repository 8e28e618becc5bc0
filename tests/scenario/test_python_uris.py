# SPDX-License-Identifier: Apache-2.0
"""What opens sluice:// by itself: pandas, pyarrow and Dask.  polars opens URLs of the clouds it knows only, and takes
files and Arrow's datasets."""

import os
import sys
from pathlib import Path

import pytest
from conftest import RUNG, local_only

LIBRARY = os.environ.get("SLUICE_LIBRARY", "")
if not Path(LIBRARY).is_file() or RUNG != "scenario":  # a sanitizer's library wants to be the first that is loaded
    pytest.skip("no library that Python can load", allow_module_level=True)
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "python"))
fsspec = pytest.importorskip("fsspec", reason="no fsspec (tools/dev deps scenario)")
pd = pytest.importorskip("pandas", reason="no pandas (tools/dev deps scenario)")
pa = pytest.importorskip("pyarrow", reason="no pyarrow (tools/dev deps scenario)")
import sluice.fs  # noqa: E402

DEEP = os.environ.get("SLUICE_DEEP")
TOP = "sluice://workspaceblobstore"
FRAME = pd.DataFrame({"n": range(10), "word": [f"w{i}" for i in range(10)]})


@pytest.fixture
def here(ws, monkeypatch):
    """The workspace is found from the current folder, as for a program without storage options."""
    for name, value in ws.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(ws.cwd)
    fsspec.filesystem("sluice", skip_instance_cache=True)
    sluice.fs.SluiceFileSystem.clear_instance_cache()
    yield ws
    sluice.fs.SluiceFileSystem.clear_instance_cache()


def test_pandas(here):
    FRAME.to_parquet(f"{TOP}/t/a.parquet")
    FRAME.to_parquet(f"{TOP}/t/b.parquet")
    FRAME.to_csv(f"{TOP}/a.csv", index=False)
    assert pd.read_parquet(f"{TOP}/t/a.parquet").equals(FRAME)
    assert len(pd.read_parquet(f"{TOP}/t", columns=["n"], storage_options={"workspace": str(here.cwd)})) == 20
    assert pd.read_csv(f"{TOP}/a.csv").equals(FRAME)
    with sluice.Workspace(here.cwd) as ws:
        ws.register("t", here.ref("t/"))
    assert len(pd.read_parquet("sluice://t@1/a.parquet")) == 10
    assert len(pd.read_parquet("azureml://datastores/workspaceblobstore/paths/t/b.parquet")) == 10
    with pytest.raises(FileNotFoundError):
        pd.read_csv(f"{TOP}/none.csv")


def test_pyarrow(here):
    from pyarrow import dataset, parquet

    if tuple(map(int, pa.__version__.split(".")[:1])) < (22,):
        pytest.skip("pyarrow before 22 takes no URLs of fsspec")
    table = pa.Table.from_pandas(FRAME)
    parquet.write_table(table, f"fsspec+{TOP}/t/a.parquet")
    assert parquet.read_table(f"fsspec+{TOP}/t/a.parquet").equals(table)
    dataset.write_dataset(table, f"fsspec+{TOP}/w", format="parquet", partitioning=["word"])
    found = dataset.dataset(f"fsspec+{TOP}/w", partitioning=["word"])
    assert found.count_rows() == 10 and found.to_table(filter=dataset.field("word") == "w7")["n"].to_pylist() == [7]


@local_only
def test_polars(here):
    pl = pytest.importorskip("polars", reason="no polars (tools/dev deps scenario)")
    from pyarrow import dataset

    FRAME.to_parquet(f"{TOP}/t/a.parquet")
    fs = fsspec.filesystem("sluice")
    with fsspec.open(f"{TOP}/t/a.parquet") as f:
        assert pl.read_parquet(f, columns=["n"])["n"].sum() == 45
    assert pl.read_parquet(f"{TOP}/t/a.parquet", use_pyarrow=True).height == 10
    lazy = pl.scan_pyarrow_dataset(dataset.dataset("workspaceblobstore/t", filesystem=fs))
    assert lazy.filter(pl.col("n") < 3).collect()["word"].to_list() == ["w0", "w1", "w2"]
    with fsspec.open(f"{TOP}/out.csv", "wb") as f:
        pl.DataFrame({"x": [1]}).write_csv(f)
    assert here.get("out.csv") == b"x\n1\n"


@local_only
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "scheduler",
    [
        "threads",
        pytest.param("processes", marks=pytest.mark.skipif(not DEEP, reason="imports Dask thrice: SLUICE_DEEP=1")),
    ],
)
def test_dask(here, scheduler):
    dd = pytest.importorskip("dask.dataframe", reason="no Dask (tools/dev deps scenario)")
    import dask

    with dask.config.set(scheduler=scheduler, num_workers=2):
        frame = dd.from_pandas(FRAME, npartitions=4)
        frame.to_parquet(f"{TOP}/out")
        assert dd.read_parquet(f"{TOP}/out", columns=["n"])["n"].sum().compute() == 45
        frame.to_csv(f"{TOP}/text-*.csv", index=False)
        assert len(dd.read_csv(f"{TOP}/text-*.csv").compute()) == 10
