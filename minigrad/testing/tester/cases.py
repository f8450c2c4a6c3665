"""Random programs for the fuzzer: whole cells, structures, arrays, and an ordinary graph around.

A `Case` is the text of a Python program that uses public names only.
It defines `step`, a function for `mg.function`, and `calls`, a list of arguments for it:
the same step over several structures, sizes and values, so that one compilation serves many runs.
What is run is the text that is printed.

Its cells and structures come from `cells` and `structures`, its choices from `choices`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ..examples.problems import Later, Printed, choice
from .cells import DIMS, LAYOUTS, OWN, Cell, random_cell
from .choices import SIZES, WIDE, Spans
from .structures import STRUCTURES, random_structure


@dataclass(frozen=True, repr=False)
class Case(Printed):
    """A program that defines `step` and `calls`.

    kinds : what is in it, for counting.
    """

    text: str
    kinds: tuple[str, ...] = ()
    calls: int = 1

    def __repr__(self) -> str:
        return self.text


INITIAL = ("zeros", "row", "component", "zeros", "row", "component", "full", "shared", "computed",
           "zeros")  # fmt: skip
FORMS = ("values", "vjp", "grad", "vjp", "grad", "grad", "both", "vjp", "grad", "some", "jvp",
         "second", "states", "contributions", "trained", "trained")  # fmt: skip
ENTER = (
    "row", "row", "row", "indexed", "take", "rearranged", "computed", "padded", "called",
    "looked up", "memory",
)  # fmt: skip
ENDS = ("{}", "mg.square({})", "mg.sin({})", "mg.astype({0} > 0.1, {0}.dtype)")
PLANTS = ("0.0", "1.0", "-0.0", "np.nan", "np.inf", "-np.inf", "{tiny}", "1e20", "-1.0", "np.nan",
          "np.inf", "-np.inf", "0.0")  # fmt: skip


@dataclass
class Around:
    """Lines of `step`, and the arrays that it reads: group -> name -> shape as text."""

    cells: list[Cell]
    lines: list[str] = field(default_factory=list)
    arrays: dict[str, dict[str, str]] = field(default_factory=dict)
    kinds: set[str] = field(default_factory=set)

    def array(self, group: str, name: str, *shape: str) -> str:
        """An argument: what `step` calls it."""
        self.arrays.setdefault(group, {})[name] = ", ".join(shape)
        return f't["{group}"]["{name}"]'


def _size(dim: str) -> tuple[str, ...]:
    return tuple(f'size["{d}"]' for d in dim)


def random_case(source: Spans) -> Case:
    """A program: one or two cells, a step that runs and differentiates them, calls of the step."""
    dtype = choice(source, ("float64", "float32"))
    dims = DIMS[: 1 + choice(source, (0, 1, 0, 2, 1))]
    kinds = _flavour(source)
    slots = choice(source, (1, 1, 2, 2, 3))
    with source.span():
        first = random_cell(source, "cell", slots, dims, dtype, kinds)
    around = Around([first])
    with source.span():
        out, states = _recurrence(source, around, first, "p", "structure", None, dtype)
    with source.span():
        if source.integer(0, 3) == 3:
            out, states = _second(source, around, out, states, dims, dtype, kinds)
    with source.span():
        form = _ending(source, around, out, states, dims)
    widths = set(re.findall(r'size\["(\w)"\]', "".join(around.lines) + str(around.arrays)))
    calls: list[str] = []
    tags: set[str] = {dtype, form, *around.kinds}
    for cell in around.cells:
        tags |= cell.kinds
    planted = laid = False
    usual = [k for k in STRUCTURES if k != "many"]
    shapes = [choice(source, usual) for _ in "12"] * 6  # each may need kernels of its own
    shapes.append("many")
    for _ in source.times(1, 32, 24):
        text, found = random_structure(source, slots, choice(source, shapes))
        rare = source.integer(0, 9) == 9
        sizes = {d: choice(source, WIDE if rare else SIZES) for d in dims if d in widths}
        seed = source.integer(0, 9)
        plants = [*_plants(source, around, dtype)]
        given = [text, f"{sizes}", str(seed)]
        if plants:
            given.append(f"plants=[{', '.join(plants)}]")
            planted = True
        if source.integer(0, 7) == 7:
            given.append(f"layout={choice(source, LAYOUTS)}")
            laid = True
        calls.append(f"arguments({', '.join(given)})")
        tags.update(found)
        tags.update("planted" for _ in plants[:1])
    head = ["import minigrad as mg", "import numpy as np", ""]
    if any("own(" in c.text for c in around.cells):
        head += ["", *OWN.splitlines()]
    body = ["", *(f"{c.text}\n\n" for c in around.cells), *_step(around), "", ""]
    body += [*_arguments(around, dtype, planted, laid), "", "", "calls = ["]
    body += [*(f"    {c}," for c in calls), "]"]
    return Case("\n".join([*head, *body]) + "\n", tuple(sorted(tags)), len(calls))


def _flavour(source: Spans) -> list[str]:
    """Which kinds of steps a cell is made of.

    Wild ones would drown all others in NaN,
    and one that has no code keeps the whole block from being compiled.
    """
    kinds = ["product", "elementwise", "product", "elementwise"]
    for kind in ("kink", "mask", "reduction", "constant", "moved", "tensor"):
        if source.integer(0, 1):
            kinds += [kind, kind]
    if source.integer(0, 1):  # half of all cells: what a matrix is made of, and what is read of it
        kinds += ["matrix"] * 5
    rare = source.integer(0, 9)
    return kinds + {8: ["wild"], 9: ["fallback"]}.get(rare, [])


def _recurrence(
    source: Spans, around: Around, cell: Cell, group: str, structure: str,
    given: list[str] | None, dtype: str,
) -> tuple[list[tuple[str, str]], str]:  # fmt: skip
    """Lines that run a cell; returns (expression, width) of what comes out, and the states."""
    k = "" if group == "p" else "2"
    if cell.name not in around.arrays:
        for name, dims in cell.params.items():
            around.array(group, name, *(s for d in dims for s in _size(d)))
    entering = []
    own = [Later([])] * len(given) if given else cell.choices[len(cell.leaves) :]
    for i, (dim, later) in enumerate(zip(cell.inputs, own, strict=True)):
        how = "row" if given else choice(later, ENTER)
        around.kinds.add(f"input {how}")
        rows = choice(later, (3, 1, 5)) if how in ("indexed", "take", "looked up") else 0
        if given:
            value = given[i]
        elif how == "indexed":
            table = around.array("x", f"x{i}{k}", str(rows), *_size(dim))
            stride = later.integer(1, 2)
            value = f"mg.Indexed({table}, np.arange(n) * {stride} % {rows + 1} - 1)"
        elif how == "looked up":
            table = around.array("x", f"x{i}{k}", str(rows), *_size(dim))
            form = choice(later, ("{}", "mg.tanh({})"))
            numbers = f"np.arange(n) * {later.integer(1, 2)} % {rows}"
            value = f"mg.Indexed({form.format(table)}, {numbers})"
        elif how == "memory":  # what each sequence has: all of its steps read it, and add to it
            many = "1" if k else "structure.components"
            table = around.array("x", f"x{i}{k}", many, *_size(dim))
            table = choice(later, ("{}", "mg.sin({})", "mg.flip({}, axis=0)")).format(table)
            rows_of = "np.zeros(n, int)" if k else "structure.component"
            value = f"mg.Indexed({table}, {rows_of})"
        elif how == "take":
            table = around.array("x", f"x{i}{k}", str(rows), *_size(dim))
            value = f"mg.take({table}, np.arange(n) % {rows}, axis=0)"
        elif how == "computed":
            value = around.array("x", f"x{i}{k}", "n", *_size(dim))
            if dim:
                last = dim[-1]
                value += f' @ {around.array("v", f"E{last}", *_size(last), *_size(last))}'
            value = choice(later, ("mg.tanh({})", "mg.relu({})")).format(value)
        elif how == "called":  # a block of its own, at once for all rows or over them
            value = around.array("x", f"x{i}{k}", "n", *_size(dim))
            weight = around.array("v", f"b{dim}", *_size(dim))
            f = choice(later, ("mg.block({})", "mg.vmap({}, (0, None))"))
            value = f"{f.format('lambda a, b: mg.tanh(a * b) + b')}({value}, {weight})"
        elif how == "padded":  # as sequences lie in a batch: (time, batch, ...)
            value = around.array("x", f"x{i}{k}", "(n + 1) // 2", "2", *_size(dim))
            shape = ", ".join(("-1", *_size(dim)))
            value = f"mg.reshape({value}, ({shape},))[:n]"
        elif how == "rearranged":
            value = around.array("x", f"x{i}{k}", "2", "n", *_size(dim))
            shape = ", ".join(("2 * n", *_size(dim)))
            value = f"mg.take(mg.reshape({value}, ({shape},)), np.arange(n)[::-1] * 2, axis=0)"
        else:
            value = around.array("x", f"x{i}{k}", "n", *_size(dim))
        entering.append(f'"x{i}": {value}')
    starts = []
    for i, dim in enumerate(cell.leaves):
        how = choice(cell.choices[i], INITIAL)
        around.kinds.add(f"initial {how}")
        shape = ", ".join(("1", *_size(dim)))
        if how == "shared":
            shared = around.array(group, dim or "k", *_size(dim))
            starts.append(f"mg.expand_dims({shared}, axis=0)")
        elif how == "zeros":
            starts.append(f'np.zeros(({shape},), "{dtype}")')
        elif how == "full":
            starts.append(f'np.full(({shape},), 0.5, "{dtype}")')
        elif how == "computed" and dim in cell.inputs and given:
            value = given[cell.inputs.index(dim)]  # what an encoder hands to a decoder
            starts.append(f"mg.sum({value}, axis=0, keepdims=True)")
        elif how == "computed":
            starts.append(f'mg.tanh({around.array("h", f"h{i}{k}", "1", *_size(dim))})')
        else:
            many = "structure.components" if how == "component" and not k else "1"
            starts.append(around.array("h", f"h{i}{k}", many, *_size(dim)))
    around.arrays.setdefault(group, {})
    ending = ")"
    if source.integer(0, 4) == 4:
        around.kinds.add("checkpoint")
        ending = f"    checkpoint={source.integer(1, 4)},\n)"
    around.lines += [
        f"states{k}, ys{k} = mg.recur(",
        f"    {cell.name}, {structure}, shared=t[{group!r}],".replace("'", '"'),
        f"    initial={starts[0] if len(starts) == 1 else '(' + ', '.join(starts) + ')'},",
        f"    inputs={'{' + ', '.join(entering) + '}' if entering else None},",
        *ending.split("\n"),
    ]
    names = [f"states{k}[{i}]" for i in range(len(starts))] if starts[1:] else [f"states{k}"]
    out = list(zip(names, cell.leaves, strict=True))
    out += [(f'ys{k}["y{i}"]', d) for i, d in enumerate(cell.outputs)]
    return out, f"states{k}"


def _second(
    source: Spans, around: Around, out: list[tuple[str, str]], states: str, dims: str,
    dtype: str, kinds: Sequence[str],
) -> tuple[list[tuple[str, str]], str]:  # fmt: skip
    """A second recurrence that reads the first one's results, over the same rows."""
    structure = choice(
        source,
        ("structure", "mg.Structure.chain(n)", "mg.Structure.chain([1] * n)",
         "mg.Structure.chain(n, reverse=True)", "structure"),
    )  # fmt: skip
    slots = around.cells[0].slots if structure == "structure" else 1
    taken = [choice(source, out) for _ in source.times(1, 2)]
    cell = random_cell(source, "cell2", slots, dims, dtype, kinds, [d for _, d in taken])
    around.cells.append(cell)
    around.kinds.add("two recurrences")
    if structure != "structure":
        around.lines.append(f"structure2 = {structure}")
        structure = "structure2"
    read = [e for e, _ in taken]
    out2, states2 = _recurrence(source, around, cell, "q", structure, read, dtype)
    return (out2, states2) if source.integer(0, 1) else ([*out, *out2], states)


def _ending(
    source: Spans, around: Around, out: list[tuple[str, str]], states: str, dims: str
) -> str:
    """The lines that make a loss and derive it; returns the form."""
    form = choice(source, FORMS)
    kept = [o for o in out if source.integer(0, 4)] or out[:1]
    lines = around.lines
    if source.integer(0, 5) == 5:
        around.kinds.add("scattered")  # as rows are put back into a padded batch
        k = source.integer(0, len(kept) - 1)
        lines.append(f"back = mg.scatter({kept[k][0]}, np.arange(n)[::-1] * 2, 2 * n)[1:]")
        lines.append(f"back = mg.concat([back, back[:1]])[:n] + {kept[k][0]}")
        kept[k] = ("back", kept[k][1])
    lines.append(f"outs = [{', '.join(e for e, _ in kept)}]")
    if form == "values":
        lines.append("return outs")
        return form
    wrt = choice(source, ("t", "t", 't["p"]', '{k: v for k, v in t.items() if k != "p"}'))
    if form in ("vjp", "jvp"):
        if form == "jvp":
            lines.append(
                "u = {g: {k: mg.cos(a) for k, a in named.items()} for g, named in t.items()}"
            )
            lines.append("return mg.jvp(outs, t, u)")
        else:
            cts = [around.array("w", f"w{i}", "n", *_size(d)) for i, (_, d) in enumerate(kept)]
            lines.append(f"return outs, mg.vjp(outs, {wrt}, [{', '.join(cts)}])")
        return form
    terms = []
    for i, (e, d) in enumerate(kept):
        how = choice(source, ENDS)
        weight = choice(source, ("{w} * {e}", "{e}", "{w} * {e}"))
        e = how.format(e)
        if "{w}" in weight:
            e = weight.format(w=around.array("w", f"w{i}", "n", *_size(d)), e=e)
        terms.append(f"mg.sum({e})")
    wide = [(e, d) for e, d in kept if len(d) == 1]
    if wide and source.integer(0, 3) == 3:
        around.kinds.add("head")
        e, d = choice(source, wide)
        to = choice(source, dims)
        matrix = around.array("v", "V", *_size(d), *_size(to))
        bias = around.array("v", "c", *_size(to))
        lines.append(f"logits = {e} @ {matrix} + {bias}")
        label = f"np.arange(n) % {_size(to)[0]}"
        terms.append(
            choice(source, (f"mg.sum(mg.cross_entropy(logits, {label}))", "mg.sum(mg.tanh(logits))",
                            "mg.sum(mg.max(logits, axis=-1))",
                            f"mg.mean(mg.astype(mg.argmax(logits, axis=-1) == {label}, "
                            f"logits.dtype)) + mg.sum(logits > 0)"))
        )  # fmt: skip
    lines.append(f"loss = {' + '.join(terms)}")
    if form == "states":
        lines.append(f"return loss, mg.state_gradients(loss, {states})")
    elif form == "contributions" and around.arrays["p"]:
        name = choice(source, list(around.arrays["p"]))
        lines.append(f'return loss, mg.contributions(loss, t["p"]["{name}"])')
    elif form == "second":
        lines.append(f"g = mg.grad(loss, {wrt})")
        wrt = "g" if wrt == "t" else wrt
        leaves = "g.values()" if wrt == 't["p"]' else "[a for named in g.values() for a in " \
            "named.values()]"
        lines.append(f"inner = sum(mg.sum(mg.sin(a) * a) for a in {leaves})")
        lines.append("return loss, g, mg.grad(inner + loss, t)")
    elif form == "trained":  # a step of an optimiser: numbers between blocks, memory to donate
        lines.append("g = mg.grad(loss, t)")
        lines.append("norm = mg.sqrt(sum(mg.sum(mg.square(a)) for named in g.values() "
                     "for a in named.values()))")  # fmt: skip
        rate = choice(source, ("0.1 / mg.maximum(norm, 1.0)", "mg.exp(-norm) - 0.5 * norm ** 0.3",
                               "mg.minimum(0.1, 1 / (1 + norm * norm))", "0 * norm + 0.1"))
        lines.append(f"rate = {rate}")
        lines.append("new = {k: {i: a - rate * g[k][i] for i, a in named.items()} "
                     "for k, named in t.items()}")  # fmt: skip
        lines.append("return loss, rate, new")
    elif form == "both":
        lines.append(f"return outs, loss, mg.grad(loss, {wrt})")
    elif form == "some":
        lines.append("return loss")
    else:
        lines.append(f"return loss, mg.grad(loss, {wrt})")
    return form


def _step(around: Around) -> list[str]:
    lines = [*around.lines]
    if any(re.search(r"\bn\b", line) for line in lines):
        lines = ["n = structure.n", *lines]
    return ["def step(t, structure, size):", *(f"    {line}" for line in lines)]


def _plants(source: Spans, around: Around, dtype: str) -> Iterator[str]:
    """Single elements (or whole arrays, "None") of arguments with a number that is special."""
    names = [(g, n) for g, named in around.arrays.items() for n in named]
    weights = [(g, n) for g, n in names if g in "pq"] or names  # what meets the most rows
    for _ in source.times(1, 2) if source.integer(0, 1) and names else ():
        group, name = choice(source, choice(source, (names, weights)))
        value = choice(source, PLANTS)
        value = value.format(tiny="1e-310" if dtype == "float64" else "1e-40")
        whole = source.integer(0, 2) == 2 and value in ("0.0", "1.0", "-1.0")
        at = None if whole else source.integer(0, 40)
        yield f'("{group}", "{name}", {at}, {value})'


def _arguments(around: Around, dtype: str, planted: bool, laid: bool) -> list[str]:
    """`arguments(...)`, which makes what a call is given."""
    more = ", plants=()" * planted + ", layout=np.asarray" * laid
    lines = [
        f"def arguments(structure, size, seed{more}):",
        "    rng, n = np.random.default_rng(seed), structure.n",
        "",
        "    def normal(*shape, scale=1.0):",
        f'        return np.asarray(scale * rng.standard_normal(shape), "{dtype}")',
        "",
        "    t = {",
    ]
    for group, named in around.arrays.items():
        inner = ", ".join(f'"{n}": normal({shape})' for n, shape in named.items())
        if group in "pqv":  # a product keeps the size of what it is given
            inner = re.sub(r"normal\((\S+), (\S+)\)", r"normal(\1, \2, scale=\1**-0.5)", inner)
        lines.append(f'        "{group}": {{{inner}}},')
    lines.append("    }")
    if planted:
        lines += [
            "    for group, name, at, value in plants:",
            "        a = t[group][name].reshape(-1)",
            "        a[slice(None) if at is None or not a.size else at % a.size] = value",
        ]
    if laid:
        lines.append(
            "    t = {g: {k: layout(a) for k, a in named.items()} for g, named in t.items()}"
        )
    return [*lines, "    return t, structure, size"]
