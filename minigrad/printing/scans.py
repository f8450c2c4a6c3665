"""A recurrence in JAX: `lax.scan` over chains of one length, `vmap` where there are no edges.

Any other structure is a loop (`loops`), which `jax.jit` unrolls.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Tensor
from ..manners.text import WHOLE
from ..recur import ROW, SHARED, parts_of
from .loops import Loop, PrintedCell, cell_of, scattered
from .names import Names, Scope
from .plans import PrintPlan, seen
from .walks import described, paths_of


def fits(r: Tensor) -> bool:
    """Whether all nodes, or all chains step by step, can be computed at once."""
    s = parts_of(r).structure
    if s.n < 2:
        return False
    paths = paths_of(s)
    return not len(s.src) or (paths is not None and len({len(p) for p in paths}) == 1)


def scan(printer: Any, scope: Scope, plan: PrintPlan, r: Tensor) -> None:
    """Print a recurrence as a `vmap` or a `lax.scan`."""
    made = Loop(printer, scope, plan, r)
    cell = cell_of(printer, scope, plan, r, made.part)
    printer.out.remark(f"{made.block.name}: {described(made.structure)}")
    rows = _mapped(made, cell) if not made.part.sent else _scanned(made, cell)
    for p in made.projections:
        _leave(made, p, rows[seen(p.attrs["ref"])])


def _leave(made: Loop, p: Tensor, rows: str) -> None:
    via = p.attrs["via"]
    if via is ROW:
        made.scope.text[p] = rows, WHOLE
    else:
        text = f"{rows}.sum(0)" if via is SHARED else scattered(made.printer, rows, p, via)
        made.printer.let(made.result(p), text, str(list(p.shape)))


def _entering(made: Loop, k: int) -> str:
    """What every node reads of an argument, a row a node."""
    x, via = seen(made.r.inputs[k]), made.vias[k]
    text = made.printer.array(made.scope, x)
    if via is ROW:
        return text
    at, ph = via.rows, made.block.inputs[k]
    if (at < 0).all():
        return made.printer.zeros((len(at), *ph.shape), ph.dtype)
    index = f"jnp.array({at.tolist()})"
    if (at >= 0).all():
        return f"{text}[{index}]"
    there = f"jnp.array({(at >= 0).astype(int).tolist()})"
    ones = ", 1" * ph.ndim
    return f"jnp.where({there}.reshape(-1{ones}) == 1, {text}[{index}], 0)"


def _arguments(made: Loop, cell: PrintedCell) -> tuple[list[int], dict[int, str]]:
    """The block's inputs that differ from node to node, and those that do not, as text.

    Among the former what merely passes through.
    """
    through = [k for ref, k in made.number.items() if ref in set(map(seen, made.refs))]
    own = [k for k in dict.fromkeys([*cell.passed, *through]) if made.vias[k] is not SHARED]
    same = {
        k: made.printer.array(made.scope, seen(made.r.inputs[k]))
        for k in [*cell.passed, *through] if made.vias[k] is SHARED
    }  # fmt: skip
    return own, same


def _called(made: Loop, cell: PrintedCell, own: list[int], same: dict[int, str], words: Any) -> str:
    """A call of the cell on rows at once; what is shared is held."""
    args = [same.get(k) or words[k] for k in cell.passed] + words["states"]
    return f"{cell.name}({', '.join(args)})"


def _mapped(made: Loop, cell: PrintedCell) -> dict[Tensor, str]:
    names, n = made.scope.names, made.structure.n
    own, same = _arguments(made, cell)
    zeros = [made.printer.zeros(ph.shape, ph.dtype) for ph in made.part.states.values()]
    found: dict[Tensor, str] = {}
    if cell.name:
        params = {k: names.fresh(made.block.inputs[k].name or "x", "_in") for k in own}
        call = _called(made, cell, own, same, {**params, "states": zeros})
        targets = [names.fresh(made.called(t) + "s") for t in made.part.returns]
        found = dict(zip(made.part.returns, targets, strict=True))
        if params:
            given = ", ".join(_entering(made, k) for k in own)
            plain = not zeros and own == cell.passed
            each = cell.name if plain else f"lambda {', '.join(params.values())}: {call}"
            value = f"jax.vmap({each})({given})"
            made.printer.say("assign", targets, value=value)
        else:
            value = f"jax.vmap(lambda _: {call})(jnp.zeros({n}))"
            made.printer.say("assign", targets, value=value)
    found = {seen(t): name for t, name in found.items()}
    for ref in map(seen, made.refs):
        if ref in made.number:
            k = made.number[ref]
            text = _entering(made, k) if k in own else f"jnp.stack([{same[k]}] * {n})"
            found[ref] = f"({text})" if " " in text else text
        elif ref in made.place:
            found[ref] = made.printer.zeros((n, *ref.shape), ref.dtype)
    return found


def _scanned(made: Loop, cell: PrintedCell) -> dict[Tensor, str]:
    names, out, printer = made.scope.names, made.out, made.printer
    rows = np.array(paths_of(made.structure)).T  # (steps, chains)
    steps, chains = rows.shape
    ordered = np.arange(rows.size).reshape(rows.shape)
    back = bool((rows[::-1] == ordered).all())
    plain = back or bool((rows == ordered).all())
    own, same = _arguments(made, cell)

    def arranged(text: str, shape: tuple[int, ...]) -> str:
        if not plain:
            index = rows[:, 0] if chains == 1 else rows
            return f"{text}[jnp.array({index.tolist()})]"
        return text if chains == 1 else f"{text}.reshape{(steps, chains, *shape)}"

    xs = [arranged(_held(_entering(made, k)), made.block.inputs[k].shape) for k in own]
    inner = Names(names.reserved, names.used)
    step, carry, row = names.fresh("step"), inner.fresh("carry"), inner.fresh("row")
    state = [inner.fresh(ph.name or "s") for ph in made.part.states.values()]
    params = {k: inner.fresh(made.block.inputs[k].name or "x", "_in") for k in own}
    out.open(f"def {step}({carry}, {row}):")
    out.line(f"{_tuple(state)} = {carry}")
    if params:
        out.line(f"{_tuple(list(params.values()))} = {row}")
    value: dict[Tensor, str] = {made.block.inputs[k]: name for k, name in params.items()}
    value |= {made.block.inputs[k]: text for k, text in same.items()}
    value |= dict(zip(made.part.states.values(), state, strict=True))
    if cell.name:
        targets = [inner.fresh(made.called(t), "_new") for t in made.part.returns]
        value |= dict(zip(map(seen, made.part.returns), targets, strict=True))
        call = _called(made, cell, own, same, {**params, "states": state})
        if chains > 1:
            free = ", ".join([*(params[k] for k in cell.passed if k in params), *state])
            same_order = all(k in params for k in cell.passed)
            call = f"jax.vmap({cell.name if same_order else f'lambda {free}: {call}'})({free})"
        printer.say("assign", targets, value=call)
    leaf_of = {leaf: t for (_, leaf), t in made.part.sent.items()}
    after = []
    for (_, leaf), ph in made.part.states.items():
        zero = printer.zeros(ph.shape if chains == 1 else (chains, *ph.shape), ph.dtype)
        after.append(value[seen(leaf_of[leaf])] if leaf in leaf_of else zero)
    refs = list(dict.fromkeys(map(seen, made.refs)))

    def kept(t: Tensor) -> str:
        k = made.number.get(t)
        return value[t] if k is None or k in params or chains == 1 else (
            f"jnp.stack([{value[t]}] * {chains})")  # fmt: skip

    out.line(f"return {_tuple(after)}, {_tuple([kept(t) for t in refs])}")
    out.close()
    out.blank()
    start = [
        printer.zeros(ph.shape if chains == 1 else (chains, *ph.shape), ph.dtype)
        for ph in made.part.states.values()
    ]
    given = _tuple(xs) if xs else "None"
    more = (f", length={steps}" if not xs else "") + (", reverse=True" if back else "")
    ends = [names.fresh(made.called(t) + ("" if t in made.place else "s")) for t in refs]
    last = names.fresh("last")
    out.line(f"{last}, {_tuple(ends)} = lax.scan({step}, {_tuple(start)}, {given}{more})")
    for t, name in zip(refs, ends, strict=True):
        if chains > 1:
            out.line(f"{name} = {name}.reshape{(rows.size, *t.shape)}")
        if not plain:
            index = np.argsort(rows.reshape(-1)).tolist()
            out.line(f"{name} = {name}[jnp.array({index})]")
    return dict(zip(refs, ends, strict=True))


def _held(text: str) -> str:
    return f"({text})" if text.startswith("jnp.where") and " " in text[-3:] else text


def _tuple(items: list[str]) -> str:
    return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"
