"""`mg.function`: a function of arrays, traced once per signature and run by compiled blocks.

The unit of compilation is the block, never the graph: the graph is rewritten into a few recurrences
(`rewrite.whole`), whose blocks know no sizes, so a new length, batch or forest costs a retrace
(milliseconds) and no compilation.  What has no code runs in NumPy: an op by itself, a recurrence
through the level-batched evaluator; `explain` says which and why.
Where nothing can be compiled at all, the whole graph runs by the evaluator (`ways`).
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from typing import Any
from weakref import WeakSet

import numpy as np

from .. import pytrees, static
from ..graph import INPUT, Tensor, Trace, _trace, placeholder, refuse_mask, toposort, trace_call
from ..ops.arrays import asarray
from ..ops.broadcast import sharing_numbers
from ..ops.table import dtype_of
from ..rewrite.once import inlined
from ..tracing import name_of, path_name
from .donate import positions, refuse_missing
from .unpack import unpacker
from .ways import way_of

KEPT = 64  # traces of one function


def function(
    f: Callable, *, donate: int | Collection[int] = (),
    nan_check: bool | str | Sequence[str] = False,
) -> Function:  # fmt: skip
    """Compile `f(*pytrees of arrays, numbers and Structures) -> pytree`, for repeated calls with
    new values.

    The result is called like `f` and returns fresh NumPy arrays.  `f` sees Tensors in place of
    arrays and is traced once per signature: shapes and dtypes of arrays, and values of everything
    else (numbers, strings, cells, Structures).  Tensors it captures are constants.  `.graph(*args)`
    gives the traced outputs, `.explain(*args)` says in words how they are run.
    Where Numba is missing or broken they are run by `mg.evaluate`: the same values, later;
    one warning says so and what to install.

    donate   : numbers of positional arguments whose memory may be used for results: 0, or (0, 1).
               Give them up, as in `loss, params, state = step(params, state, batch)` with
               donate=(0, 1): after the call, their arrays hold results of their shape and dtype,
               and those very arrays are returned.  The values are those without donate.
               A result is fresh where writing is not safe: to an array that does not own its data
               (a view), is read-only or not in C order, or shares memory with another argument.
               Tensors, numbers and other statics have no memory to give.  No argument that is not
               donated is ever written to.
               Results are written last, all at once: a call that raises while it computes leaves
               every argument as it was.  Ctrl-C at the very end, or an error in the constructor of
               a result's container, finds all of them written, never some.
               With nan_check nothing is donated: its search reads the arguments.

    nan_check: True, or the kinds ("nan", "inf") that count: every call looks its results over, and
               where one holds such a value it raises FloatingPointError naming the op that made the
               first of them, forward or backward, with its step, sample and line
               (`minigrad.testing.first_nonfinite`).  The results are scanned once; the search costs
               another run, in NumPy, and only takes place when there is something to find.

    Raises TypeError for donate that is no numbers, ValueError for the number of no argument of f.
    """
    numbers, named = positions(f, donate)
    if nan_check is False:
        return Function(f, numbers, named)
    return Checked(f, ("nan", "inf") if nan_check is True else nan_check)


_alive: WeakSet[Function] = WeakSet()


class Explanation(str):
    """What `explain` says; shows itself line by line, in a notebook too."""

    def __repr__(self) -> str:
        return str(self)


class Function:
    """What `function` returns."""

    def __init__(self, f: Callable, donate: tuple[int, ...] = (), named: int = 0):
        self.f, self.__doc__ = f, f.__doc__
        self.donate, self.named = donate, named
        self.__name__ = name_of(f)
        self.start()
        _alive.add(self)

    def start(self) -> None:
        """Nothing traced, nobody inside."""
        self.traces: OrderedDict[Any, Traced] = OrderedDict()
        self.plain: set[Any] = set()  # forms whose dicts have strings for keys, as most have
        self.pools: dict[int, Any] = {}
        self.latest: Traced | None = None  # the trace that ran last
        self.lock = threading.RLock()

    def __repr__(self) -> str:
        return f"<mg.function {self.__name__}: {len(self.traces)} traces>"

    def __call__(self, *args: Any) -> Any:
        if _trace.get() is not None:  # inside another trace: part of that graph
            return self.f(*args)
        if self.lock._is_owned():  # type: ignore[attr-defined]
            # A signal handler, or an op's own code, amid a call of ours: its workspace is in use.
            return Function(self.f)(*args)
        latest = self.latest
        known = None if latest is None else latest.leaves_of(args)
        if latest is not None and known is not None:
            with self.lock:
                results = latest.way.express(known) if self.latest is latest else None
            if results is not None:
                return pytrees.tree_unflatten(latest.spec_out, results)
        leaves, spec = static.flatten(args)
        with self.lock:
            self.latest = None  # an interrupt may come at any step: what is left is right
            traced = self._traced(args, leaves, spec)
            traced.way.take_workspace()
            results = traced.run(leaves)
            self.latest = traced
            return pytrees.tree_unflatten(traced.spec_out, results)

    def graph(self, *args: Any) -> Any:
        """The traced outputs for arguments like these, as Tensors: to draw, print or
        differentiate.  A call keeps no graph (a program of many lengths has many traces), so the
        function is recorded again.
        """
        leaves, spec = static.flatten(args)
        with self.lock:
            return recorded(self.f, leaves, spec)[1]

    def explain(self, *args: Any) -> str:
        """How a call with arguments like these is run: what is compiled, hoisted, packed, and what
        is not.
        """
        leaves, spec = static.flatten(args)
        with self.lock:
            return Explanation(self._traced(args, leaves, spec).way.explain())

    def _traced(self, args: tuple, leaves: list, spec: Any) -> Traced:
        form = spec if spec in self.plain else static.spec_key(spec)
        key = (form, *map(_leaf_key, leaves))
        known = self.traces.get(key)
        if known is None:
            refuse_missing(self.donate, max(self.named, len(args)), "it was called with")
            known = Traced(self.f, leaves, spec, form, self.pools, self.donate)
            self.traces[key] = known
            while len(self.traces) > KEPT:
                self.traces.popitem(last=False)
            if known.form is known.spec:
                self.plain = self.plain if len(self.plain) < KEPT else set()
                self.plain.add(known.spec)
        elif len(self.traces) > 1:
            self.traces.move_to_end(key)
        return known


class Checked(Function):
    """A Function that never returns NaN or infinity: what `function(f, nan_check=...)` gives."""

    def __init__(self, f: Callable, kinds: str | Sequence[str]):
        from ..run.origins import classes_of

        super().__init__(f)
        self.kinds, self.classes = kinds, classes_of(kinds)

    def __call__(self, *args: Any) -> Any:
        results = super().__call__(*args)
        if any(map(self._bad, pytrees.tree_leaves(results))):
            raise FloatingPointError(self._words(args, results))
        return results

    def _bad(self, x: Any) -> bool:
        from ..run.origins import bad_elements

        return isinstance(x, np.ndarray) and bool(bad_elements(x, self.classes).any())

    def _words(self, args: tuple, results: Any) -> str:
        """What is wrong, where it comes from, and what to do."""
        from ..run.nonfinite import find

        paths, values, _ = pytrees.tree_flatten_with_path(results)
        which = [path_name("", p) for p, x in zip(paths, values, strict=True) if self._bad(x)]
        more = f" and {len(which) - 3} more" if len(which) > 3 else ""
        named = f"result {', '.join(which[:3])}{more}" if all(which) else "the result"
        leaves, spec = static.flatten(args)
        with self.lock:
            inputs, result = recorded(self.f, leaves, spec)
            given = {ph: np.asarray(leaves[k]) for k, ph in inputs}
        kinds = " or ".join(["NaN"] * ("nan" in self.classes) + ["inf"] * ("+inf" in self.classes))
        head = f"{self.__name__}: {named} holds {kinds}"
        finding = find(result, given, kinds=self.kinds)
        if finding is None:
            return (
                f"{head}, which the reference evaluation of the same graph does not give. The "
                "values lie at the edge of the dtype's range, where rounding decides; scale them"
            )
        return f"{head}. It began here:\n{finding}\nWhat to do: {finding.remedy}"


def _restart() -> None:
    """After a fork: what another thread was inside of stays half-done, and locked, for ever."""
    for f in list(_alive):
        if f.lock.acquire(blocking=False):
            f.lock.release()
        else:
            f.start()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_restart)


def _leaf_key(x: Any) -> Any:
    return (x.shape, x.dtype) if _is_array(x) else static.key(x)


def recorded(
    f: Callable, leaves: list, spec: Any, short: bool = False
) -> tuple[list[tuple[int, Tensor]], Any]:
    """f traced: (position among the leaves, placeholder) of each array; and what f returned.

    short: formulas are left as one node each (see `rewrite.once`).
    """
    trace = Trace(name_of(f))
    inputs: list[tuple[int, Tensor]] = []
    given: list[Any] = []
    for k, (x, path) in enumerate(zip(leaves, spec.paths(), strict=True)):
        if isinstance(x, (np.ndarray, np.generic, Tensor)):
            name = path_name("", path[1:]) or f"arg{path[0]}"
            # The lane knows dtypes by identity, and newbyteorder makes a new object.
            dtype = x.dtype if x.dtype.isnative else x.dtype.newbyteorder("=")
            dtype_of(f"{trace.name}: {name}", dtype)
            ph = placeholder(x.shape, dtype, name, trace)
            inputs.append((k, ph))
            given.append(ph)
        else:
            given.append(x)
    with sharing_numbers(trace):
        result = trace_call(trace, lambda: f(*pytrees.tree_unflatten(spec, given)))
    result = pytrees.tree_map(lambda x: asarray(x) if _is_array(x) else x, result)
    found, form = pytrees.tree_flatten(result)
    refuse_symbols(trace.name, found)
    if not short:
        result = pytrees.tree_unflatten(form, inlined(found))
    return inputs, result


class Traced:
    """One trace of a function: what its arguments are, and the way it is run."""

    def __init__(
        self, f: Callable, leaves: list, spec: Any, form: Any, pools: dict[int, Any],
        donate: Collection[int] = (),
    ):  # fmt: skip
        self.spec, self.form = spec, form
        self.unpack = unpacker(spec)
        self.inputs, result = recorded(f, leaves, spec, short=True)
        leaves_out, self.spec_out = pytrees.tree_flatten(result)
        self.leaves = [x for x in leaves if not _is_array(x)]  # what was static stays alive
        # In the order in which results are flattened, so that each stands where its like stood.
        order = pytrees.tree_leaves(pytrees.tree_unflatten(spec, range(len(leaves))))
        paths = spec.paths() if donate else []
        donated = [k for k in order if paths[k][0] in donate] if donate else []
        self.way = way_of(leaves, self.inputs, leaves_out, pools, donated)

    def leaves_of(self, args: tuple) -> list[Any] | None:
        """The leaves of arguments of our form; None where theirs is another."""
        if self.unpack is not None:
            return self.unpack(args)
        leaves, spec = static.flatten(args)
        same = spec == self.spec and (self.form is self.spec or static.spec_key(spec) == self.form)
        return leaves if same else None

    def run(self, leaves: Sequence[Any]) -> list[Any]:
        """A call with arguments of any kind and layout."""
        plain = list(leaves)
        for k, ph in self.inputs:
            x = leaves[k].numpy() if isinstance(leaves[k], Tensor) else leaves[k]
            refuse_mask(x)
            x = np.require(x, ph.dtype, ["C", "A"])  # maybe x itself: it may be donated
            plain[k] = x if type(x) is np.ndarray else x.view(np.ndarray)
        return self.way.run(plain, leaves)


def refuse_symbols(who: str, outputs: Sequence[Any]) -> None:
    """A Tensor from outside is a constant; one without a value cannot be."""
    for t in toposort([t for t in outputs if isinstance(t, Tensor)]):
        if "symbol" in t.attrs and t.op is INPUT:
            raise TypeError(
                f"{who} uses the symbol {t.name}, which has no value: make it an argument of the "
                "function, or give it a value first (mg.substitute)"
            )


def _is_array(x: Any) -> bool:
    return isinstance(x, (Tensor, np.ndarray, np.generic))
