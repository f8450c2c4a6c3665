"""Kept kernels: found again, never wrong when damaged, edited or shared."""

import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from minigrad.kernels import cache, gemm_kernels
from minigrad.ops import scalar

SOURCE = '''"""A kernel."""
from minigrad.kernels.native import kernel

@kernel
def add(k, p, start, stop):
    for i in k.rows(start, stop):
        k.put_index(p, i, k.index(p, i) + STEP)
'''
PROGRAM = """
import sys
import numpy as np
from minigrad.kernels import cache
module = cache.load(sys.argv[1], "t")
x = np.arange(4)
module.add(x.ctypes.data, 1, 3)
print(x.tolist(), "numba" in sys.modules)
"""


def source(step=10):
    return SOURCE.replace("STEP", str(step))


def run(module):
    x = np.arange(4)
    module.add(x.ctypes.data, 1, 3)
    return x.tolist()


def start(text, **variables):
    root = str(Path(cache.__file__).parents[2])
    env = os.environ | {"PYTHONPATH": root} | variables
    env.pop("NUMBA_OPT", None)  # without LLVM's optimiser, code leans on Numba's runtime
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROGRAM, text],
        env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A cache directory for one test, and a process that has loaded and warned of nothing."""
    folder = tmp_path / "made" / "by us"
    monkeypatch.setenv("MINIGRAD_CACHE_DIR", str(folder))
    monkeypatch.setattr(cache, "_warned", set())
    forget(monkeypatch)
    return folder


def forget(monkeypatch):
    """As in a new process."""
    monkeypatch.setattr(cache, "_loaded", {})


def kept(folder):
    (file,) = folder.glob("*.mgo")
    return file


def test_a_second_process_needs_no_compiler(folder):
    for compiled in (True, False):
        process = start(source(), MINIGRAD_CACHE_DIR=str(folder))
        out, err = process.communicate(timeout=60)
        assert (out.split("] "), err) == (["[0, 11, 12, 3", f"{compiled}\n"], "")
    assert kept(folder).with_suffix(".py").read_text() == source()
    assert folder.stat().st_mode & 0o777 == 0o700


def test_loaded_once(folder):
    module = cache.load(source(), "t")
    assert cache.load(source(), "t") is module
    with pytest.raises(AttributeError, match="no kernel 'sub'; there are add"):
        module.sub  # noqa: B018


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:40],
        lambda data: data[:-1],
        lambda data: b"\0" * len(data),
        lambda data: data + b"x",
        *(lambda data, at=at: _flip(data, at) for at in (0, 25, 60, 200, 900, -1)),
    ],
)
def test_damage_is_noticed(folder, monkeypatch, damage):
    cache.load(source(), "t")
    file = kept(folder)
    good = file.read_bytes()
    file.write_bytes(damage(good))
    forget(monkeypatch)
    with pytest.warns(cache.CacheWarning, match="unusable") as caught:
        assert run(cache.load(source(), "t")) == [0, 11, 12, 3]
    assert len(caught) == 1
    forget(monkeypatch)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run(cache.load(source(), "t")) == [0, 11, 12, 3]  # mended


def _flip(data, at):
    at %= len(data)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_a_sound_file_of_another_source_is_refused(folder, monkeypatch):
    cache.load(source(1), "t")
    other = kept(folder)
    key = cache.key_of(source(2), cache.target.lanes())
    shutil.copy(other, folder / f"mg_t_{key}.mgo")
    with pytest.warns(cache.CacheWarning, match="another source"):
        assert run(cache.load(source(2), "t")) == [0, 3, 4, 3]


def test_an_object_file_that_does_not_link_is_compiled_again(folder, monkeypatch):
    cache.load(source(), "t")
    file = kept(folder)
    key = file.stem.rpartition("_")[2]
    (code,) = cache.unpack(file.read_bytes(), key)
    bad = cache.native.Code(code.name, code.symbol, code.arity, ("no_such_symbol",), code.object)
    file.write_bytes(cache.pack([bad], key))
    forget(monkeypatch)
    with pytest.warns(cache.CacheWarning, match="no_such_symbol"):
        assert run(cache.load(source(), "t")) == [0, 11, 12, 3]


@pytest.mark.parametrize("where", ("file", "others may write", "unwritable"))
def test_an_unusable_directory_is_done_without(folder, monkeypatch, where):
    if where == "file":
        folder.parent.mkdir()
        folder.write_text("not a directory")
    elif where == "others may write":
        folder.mkdir(parents=True)
        folder.chmod(0o777)
    else:
        # Permissions do not stop root, who runs the tests in containers.
        def refuse(*args, **kwargs):
            raise PermissionError("read-only")

        monkeypatch.setattr(cache.tempfile, "mkstemp", refuse)
    with pytest.warns(cache.CacheWarning) as caught:
        assert run(cache.load(source(), "t")) == [0, 11, 12, 3]
        assert run(cache.load(source(7), "t")) == [0, 8, 9, 3]
    assert len(caught) == 1
    assert not (folder.is_dir() and list(folder.iterdir()))


def test_no_home(folder):
    process = start(source(), MINIGRAD_CACHE_DIR="", XDG_CACHE_HOME="", HOME="/proc/nobody")
    out, err = process.communicate(timeout=60)
    assert "CacheWarning: no directory to keep compiled kernels in" in err  # -W error
    assert out == ""


@pytest.mark.long
def test_processes_share_a_directory(folder):
    steps = [1, 1, 1, 2]
    processes = [start(source(s), MINIGRAD_CACHE_DIR=str(folder)) for s in steps]
    for step, process in zip(steps, processes, strict=True):
        out, err = process.communicate(timeout=60)
        assert (out.split("]")[0], err) == (f"[0, {1 + step}, {2 + step}, 3", "")
    assert {f.suffix for f in folder.iterdir()} == {".py", ".mgo"}  # nothing left aside
    assert len(list(folder.iterdir())) == 4


def test_the_key_covers_what_the_code_depends_on(tmp_path, monkeypatch):
    keys = {cache.key_of(source(s), lanes) for s in (1, 2) for lanes in (4, 8)}
    assert len(keys) == 4
    before = cache.key_of(source(), 8)
    copy = tmp_path / "kernels"
    shutil.copytree(Path(cache.__file__).parent, copy)
    (tmp_path / "ops").mkdir()
    shutil.copy(scalar.__file__, tmp_path / "ops")

    def key():
        cache._environment.cache_clear()
        return cache.key_of(source(), 8)

    try:
        monkeypatch.setattr(cache, "__file__", str(copy / "cache.py"))
        assert key() == before
        edited = before
        for helper in (copy / Path(gemm_kernels.__file__).name, tmp_path / "ops" / "scalar.py"):
            helper.write_text(helper.read_text() + "\n")
            assert key() != edited
            edited = key()
        monkeypatch.setenv("NUMBA_OPT", "1")
        assert key() != edited
        monkeypatch.delenv("NUMBA_OPT")
        monkeypatch.setattr(cache.compiler, "numba_version", lambda: "another")
        assert key() != edited
    finally:
        monkeypatch.undo()
        cache._environment.cache_clear()


def test_errors_of_the_source_show_its_line(folder):
    bad = source("k.nonsense")
    with pytest.raises(AttributeError, match="nonsense") as info:
        cache.load(bad, "t")
    assert "k.nonsense" in str(info.traceback[-1].statement)
    assert list(folder.iterdir()) == []
