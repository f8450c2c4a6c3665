"""Size of the whole: a million nodes, and what an import brings along."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("numba", "llvmlite", "graphviz", "pygraphviz", "hypothesis", "matplotlib", "torch")


def run(code: str, *arguments: str) -> str:
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


MILLION = """
import gc, os, sys, weakref
import numpy as np
import minigrad as mg

def resident():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

N = int(sys.argv[1])
sys.setrecursionlimit(150)  # nothing may recurse with the depth of the graph

def work(n, measure):
    x = mg.asarray(0.5)
    start = resident()
    t = x
    for k in range(n // 2):
        t = mg.negative(mg.tanh(t))
    measure.append((resident() - start) / n)
    g = mg.grad(t, x)
    y, slope = mg.evaluate((t, g))
    measure += [float(y), float(slope), weakref.ref(t), weakref.ref(g)]

work(10_000, [])  # imports and warm caches are not the chain's
gc.collect()
base = resident()
found = []
gc.disable()  # what is freed is freed by counting: no cycles
work(N, found)
freed = found[3]() is None and found[4]() is None
gc.collect()
print(*found[:3], freed, (resident() - base) / N)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux's /proc/self/statm")
@pytest.mark.long
@pytest.mark.parametrize("n", [100_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_a_million_ops(n):
    """Recorded, differentiated, evaluated and freed without recursion, within 2 KiB a node."""
    per_node, value, slope, freed, left = run(MILLION, str(n)).split()
    assert float(per_node) <= 2048
    assert freed == "True", "the chain is kept alive by a reference cycle"
    assert float(left) <= 64, "bytes a node that did not come back"
    import numpy as np  # the same chain in plain NumPy, with its derivative

    v, d = 0.5, 1.0
    for _ in range(n // 2):
        v = float(np.tanh(v))
        d *= -(1 - v * v)
        v = -v
    assert float(value) == pytest.approx(v, rel=1e-9)
    assert float(slope) == pytest.approx(d, rel=1e-6)


def test_import_is_light():
    """Beyond NumPy and optree: modules of ours, safetensors, and a few of Python's own."""
    code = "import sys, numpy, optree, hashlib, json, secrets; before = set(sys.modules)\n"
    code += "import minigrad; print(*sorted(set(sys.modules) - before), sep='\\n')"
    more = [m.split(".") for m in run(code).split()]
    assert not {m[0] for m in more} & set(HEAVY)
    python = [m for m in more if m[0] in sys.stdlib_module_names]
    assert {m[0] for m in more if m not in python} == {"minigrad", "safetensors"}
    rooms = {m[1] for m in more if m[0] == "minigrad" and len(m) > 1}
    assert not rooms & {"compile", "testing"}
    assert len(python) < 20 and len(more) < 100
