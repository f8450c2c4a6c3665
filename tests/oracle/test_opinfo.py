"""Every op we share with torch on torch's own samples (its OpInfo database).

Values, gradients, refusals.

The table `opinfo.OPS` says which op is which.
A sample agrees when the values match to 1e-9
and the gradient of sum(u * outputs), u random, to 1e-8 for every input torch differentiates.
Samples outside our contract are counted with their reason;
what differs by a documented convention is listed in DIFFERS and still counts as a disagreement.
Then torch's wrong calls: each must be refused by us in words,
unless ALLOWED says why the array API accepts it.
"""

from __future__ import annotations

import functools
import re
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg

from . import opinfo_linalg  # noqa: F401  (its entries)
from .opinfo import ALLOWED, DIFFERS, OPS

torch = pytest.importorskip(
    "torch", reason="torch is not installed; the oracle tests need torch==2.13.0"
)
try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_methods_invocations import op_db
        from torch.testing._internal.common_utils import freeze_rng_state, set_rng_seed
except Exception as error:  # torch's internals promise nothing
    _why = f"no OpInfo database in torch {torch.__version__}: {error!r}"
    pytest.skip(_why, allow_module_level=True)

VALUE, GRADIENT = 1e-9, 1e-8
INFO = {i.name + (f"/{i.variant_test_name}" if i.variant_test_name else ""): i for i in op_db}
OURS = Path(mg.__file__).parent


# -- torch's samples as ours -----------------------------------------------------------------------


def ours(x: Any, leaves: dict[int, tuple[Any, mg.Tensor]]) -> Any:
    """A sample's argument for our op; `leaves` collects (torch's tensor, our Tensor) by id."""
    if isinstance(x, torch.Tensor):
        array = x.detach().numpy(force=True)
        if not x.requires_grad:
            return array
        return leaves.setdefault(id(x), (x, mg.asarray(array)))[1]
    if isinstance(x, torch.dtype):
        return torch.empty(0, dtype=x).numpy().dtype
    if isinstance(x, dict):
        drop = ("device", "requires_grad", "layout")
        return {k: ours(v, leaves) for k, v in x.items() if k not in drop}
    if isinstance(x, (list, tuple)):
        return (list if isinstance(x, list) else tuple)(ours(v, leaves) for v in x)
    return x


def flat(results: Any) -> list[Any]:
    return list(results) if isinstance(results, (tuple, list)) else [results]


@dataclass
class Tally:
    """What became of the samples of one op."""

    agreed: int = 0  # values and gradients
    values: int = 0  # nothing to differentiate: values alone
    differ: list[str] = field(default_factory=list)
    known: Counter = field(default_factory=Counter)  # differences that DIFFERS explains, by reason
    excluded: Counter = field(default_factory=Counter)  # by reason
    missing: str = ""  # why torch has no samples


def apart(found: Any, wanted: Any, tolerance: float) -> str:
    """How two arrays differ, "" when not; relative above 1, NaN and inf in the same places."""
    x, y = np.asarray(found), np.asarray(wanted)
    if x.shape != y.shape:
        return f"shape {x.shape}, torch {y.shape}"
    if y.dtype.kind != "f" or x.dtype != y.dtype:
        same = x.dtype.kind == y.dtype.kind and np.array_equal(x, y)
        return "" if same and y.dtype.kind != "f" else f"{x.dtype} {x}, torch {y.dtype} {y}"
    with np.errstate(all="ignore"):
        off = np.abs(x - y) / np.maximum(1.0, np.abs(y))
    off = np.where((x == y) | (np.isnan(x) & np.isnan(y)), 0.0, off)
    if (off <= tolerance).all():
        return ""
    k = np.unravel_index(np.argmax(np.where(np.isnan(off), np.inf, off)), off.shape)
    return f"off by {off[k]:.1e} at {tuple(map(int, k))}: {x[k]!r}, torch {y[k]!r}"


def compare(key: str, sample: Any) -> str | None:
    """One sample: "" when both agree, else how they differ.

    None when only values exist to agree on.
    """
    leaves: dict[int, tuple[Any, mg.Tensor]] = {}
    x, args, kwargs = ours((sample.input, tuple(sample.args), sample.kwargs), leaves)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = flat(INFO[key](sample.input, *sample.args, **sample.kwargs))
    mine = flat(OPS[key].run(x, *args, **kwargs))
    if len(mine) != len(theirs):
        return f"{len(mine)} results, torch {len(theirs)}"
    for k, (a, b) in enumerate(zip(mine, theirs, strict=True)):
        if found := apart(a.numpy(), b.detach().numpy(), VALUE):
            return f"value {k} {found}"
    rng = np.random.default_rng(0)
    pairs = [(a, b, rng.standard_normal(a.shape)) for a, b in zip(mine, theirs, strict=True)
             if b.requires_grad]  # fmt: skip
    if not pairs or not leaves:
        return None
    total = sum((b * torch.tensor(u)).sum() for _, b, u in pairs)
    wrt = [leaf for leaf, _ in leaves.values()]
    wanted = torch.autograd.grad(total, wrt, allow_unused=True)
    loss = functools.reduce(mg.add, [mg.sum(mg.multiply(a, u)) for a, _, u in pairs])
    found = mg.grad(loss, [t for _, t in leaves.values()])
    for k, (g, w) in enumerate(zip(mg.evaluate(found), wanted, strict=True)):
        w = np.zeros(wrt[k].shape) if w is None else w.numpy(force=True)
        if text := apart(np.asarray(g), w, GRADIENT):
            return f"gradient {k} {text}"
    return ""


def shown(sample: Any) -> str:
    def text(x: Any) -> str:
        if isinstance(x, torch.Tensor):
            return f"{str(x.dtype)[6:]}{list(x.shape)}"
        if isinstance(x, (list, tuple)):
            return f"({', '.join(map(text, x))})"
        return repr(x)

    more = [f"{k}={text(v)}" for k, v in sample.kwargs.items()]
    return ", ".join([text(sample.input), *map(text, sample.args), *more])


@functools.cache
def tally(key: str) -> Tally:
    """All of torch's float64 samples of one op."""
    result = Tally()
    if key not in INFO:
        result.missing = f"torch {torch.__version__} has no OpInfo {key!r} (written for 2.13)"
        return result
    with freeze_rng_state():
        set_rng_seed(0)
        samples = list(INFO[key].sample_inputs(
            "cpu", torch.float64, requires_grad=INFO[key].supports_autograd, set_seed=False
        ))  # fmt: skip
    for sample in samples:
        arrays = ours((sample.input, tuple(sample.args), sample.kwargs), {})
        for reason, holds in OPS[key].but:
            if holds(arrays[0], *arrays[1], **arrays[2]):
                result.excluded[reason] += 1
                break
        else:
            try:
                found = compare(key, sample)
            except Exception as error:
                at = traceback.extract_tb(error.__traceback__)[-1]
                found = f"{type(error).__name__}: {error} ({Path(at.filename).name}:{at.lineno})"
            if found is None:
                result.values += 1
            elif not found:
                result.agreed += 1
            elif found.startswith("gradient") and (reason := explained(key, arrays)):
                result.known[reason] += 1
            else:
                result.differ.append(f"{key}({shown(sample)}): {found}")
    return result


def explained(key: str, arrays: Any) -> str:
    """The convention behind a gradient that differs, from DIFFERS; "" when there is none."""
    rules = DIFFERS.get(key, ())
    return next((r for r, holds in rules if holds(arrays[0], *arrays[1], **arrays[2])), "")


@pytest.mark.parametrize("key", OPS)
def test_samples(key):
    found = tally(key)
    if found.missing:
        pytest.skip(found.missing)
    assert not found.differ, "\n".join(found.differ[:20])
    assert set(found.known) == {reason for reason, _ in DIFFERS.get(key, ())}, "DIFFERS is stale"
    unused = {reason for reason, _ in OPS[key].but} - set(found.excluded)
    assert not unused, f"no sample is left out because: {unused}"
    assert found.agreed + found.values + found.excluded.total() + found.known.total(), "no samples"


def test_total():
    """At least 1,500 samples agree, fewer than 1% do not; printed op by op."""
    tallies = {key: tally(key) for key in OPS}
    for key, t in tallies.items():
        row = f"{key:40} {t.agreed:4} agreed {t.values:4} values only {len(t.differ):3} differ"
        print(f"{row} {t.known.total():3} known {t.excluded.total():4} excluded {t.missing}")
    excluded: Counter = sum((t.excluded for t in tallies.values()), Counter())
    known: Counter = sum((t.known for t in tallies.values()), Counter())
    for name, counts in (("excluded", excluded), ("differ by convention", known)):
        for reason, n in counts.items():
            print(f"{name}: {n} {reason}")
    agreed = sum(t.agreed for t in tallies.values())
    other = sum(len(t.differ) for t in tallies.values()) + known.total()
    missing = [t.missing for t in tallies.values() if t.missing]
    values = sum(t.values for t in tallies.values())
    print(f"{agreed} samples agree in value and gradient, {other} do not; {values} agree in value "
          f"(no gradient); {excluded.total()} excluded")  # fmt: skip
    if missing:
        pytest.skip(f"{agreed} agree; {'; '.join(missing)}")
    assert agreed >= 1500
    assert other < 0.01 * (agreed + other), f"{other} of {agreed + other} differ"


# -- wrong calls -----------------------------------------------------------------------------------

RAW = re.compile(  # what NumPy and Python say when nobody checked before them
    r"'NoneType'|<lambda>|positional argument|unexpected keyword|object is not|cannot be "
    r"interpreted|"
    r"subscriptable|unhashable|has no attribute|not supported between|ufunc|could not be broadcast|"
    r"np\.|numpy|run\(\)|not enough values|invalid literal"
)


@dataclass
class Refusals:
    """What became of torch's wrong calls of one op."""

    refused: list[str] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    allowed: Counter = field(default_factory=Counter)  # by reason
    outside: Counter = field(default_factory=Counter)  # cannot be asked of us, by reason


def unclear(error: Exception, names: tuple[str, ...]) -> str:
    """What is wrong with an error's message; "" for a good one."""
    if not isinstance(error, (ValueError, TypeError, IndexError)):
        return "its type is none of ValueError, TypeError, IndexError"
    raised = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    if OURS not in raised.parents:
        return f"it was raised in {raised.name}, not by minigrad"
    if not str(error) or RAW.search(str(error)):
        return "it does not speak of what the caller did"
    if not re.search(rf"\b({'|'.join(names)})\b|shape|ax[ei]s|a Tensor holds", str(error)):
        return f"it names none of {names}, shape, axis"
    return ""


def allowed(key: str, wrong: Any) -> str:
    """Why the array API accepts what torch refuses; "" when it does not."""
    sample = wrong.sample_input
    if (
        wrong.error_type is Exception
        and not wrong.error_regex
        and any(isinstance(v, (int, float)) for v in (sample.input, *sample.args))
    ):
        return "Python numbers stand for tensors on either side"
    text = str(wrong.error_regex)
    return next((why for part, why in ALLOWED.get(key, {}).items() if part in text), "")


@functools.cache
def refusals(key: str) -> Refusals:
    result = Refusals()
    info = INFO.get(key)
    if info is None or info.error_inputs_func is None:
        return result
    with freeze_rng_state(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrongs = list(info.error_inputs("cpu"))
    for wrong in wrongs:
        sample = wrong.sample_input
        call = f"{key}({shown(sample)})"
        if "out" in sample.kwargs:
            result.outside["ours have no out="] += 1
            continue
        if isinstance(sample.input, torch.Tensor) and sample.input.ndim > 64:
            result.outside["NumPy's arrays have at most 64 axes"] += 1
            continue
        x, args, kwargs = ours((sample.input, tuple(sample.args), sample.kwargs), {})
        try:
            for t in flat(OPS[key].run(x, *args, **kwargs)):
                np.asarray(t)
        except Exception as error:
            text = f"{call}: {type(error).__name__}: {error}"
            if flaw := unclear(error, OPS[key].names):
                result.unclear.append(f"{text} ({flaw})")
            else:
                result.refused.append(text)
        else:
            if reason := allowed(key, wrong):
                result.allowed[reason] += 1
            else:
                result.accepted.append(f"{call}: accepted; torch: {wrong.error_regex!r}")
    return result


WRONG = [key for key in OPS if key in INFO and INFO[key].error_inputs_func]


@pytest.mark.parametrize("key", WRONG)
def test_wrong_calls(key):
    found = refusals(key)
    assert not found.unclear + found.accepted, "\n".join(found.unclear + found.accepted)
    assert set(ALLOWED.get(key, {}).values()) <= set(found.allowed), "ALLOWED is stale"


def test_total_refused():
    """At least 100 of torch's wrong calls are refused in words; printed one by one."""
    found = {key: refusals(key) for key in WRONG}
    refused = [line for r in found.values() for line in r.refused]
    print("\n".join(refused))
    for name, each in (("accepted on purpose", [r.allowed for r in found.values()]),
                       ("cannot be asked", [r.outside for r in found.values()])):  # fmt: skip
        for reason, n in sum(each, Counter()).items():
            print(f"{name}: {n} {reason}")
    print(f"{len(refused)} wrong calls refused")
    if gone := [key for key in OPS if key not in INFO]:
        pytest.skip(f"{len(refused)} refused; torch {torch.__version__} has no OpInfo {gone}")
    assert len(refused) >= 100
