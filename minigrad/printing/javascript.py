"""JavaScript without libraries: the same table, whose every word is a small function of ours.

An array is {shape, data}, `data` flat in C order; functions take plain numbers for arrays.
Only the functions that a text calls are printed with it.  Numbers are doubles, whatever the dtype.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from ..graph import Tensor
from ..manners.text import WHOLE, Part, _matrices
from .spellings import Library, axes, bounds

CORE = {  # in this order: the later ones are made with the earlier ones
    "indices": """
// Every index of an array of this shape, in order.
const indices = (shape) => shape.reduce(
    (found, n) => found.flatMap((i) => Array.from({ length: n }, (_, k) => [...i, k])), [[]]);
""",
    "offset": """
const offset = (shape, index) => index.reduce((at, k, axis) => at * shape[axis] + k, 0);
""",
    "along_axes": """
// Where the elements stand that differ along these axes only, in order.
const along_axes = (shape, axes) => axes.reduce((found, axis) => {
    const step = shape.slice(axis + 1).reduce((p, n) => p * n, 1);
    return found.flatMap((k) => Array.from({ length: shape[axis] }, (_, n) => k + n * step));
}, [0]);
""",
    "at": """
const at = (x, index) => x.data[offset(x.shape, index)];
""",
    "build": """
// An array out of a function of the index.
const build = (shape, f) => ({ shape, data: indices(shape).map(f) });
""",
    "broadcast": """
const broadcast = (x, shape) => (String(x.shape) === String(shape) ? x : build(shape, (i) => at(
    x, i.slice(shape.length - x.shape.length).map((k, axis) => (x.shape[axis] === 1 ? 0 : k)))));
""",
    "whole": """
const whole = (x) => (typeof x === "object" ? x : { shape: [], data: [x] });
""",
    "broadcast_to": """
const broadcast_to = (x, shape) => broadcast(whole(x), shape);
""",
    "each": """
// A function of numbers as one of arrays, which broadcast.
const each = (f) => (...xs) => {
    const arrays = xs.map(whole);
    const ndim = Math.max(...arrays.map((x) => x.shape.length));
    const shape = Array.from({ length: ndim }, (_, axis) => {
        const ns = arrays.map((x) => x.shape[axis - ndim + x.shape.length] ?? 1);
        return ns.includes(0) ? 0 : Math.max(...ns);
    });
    const data = arrays.map((x) => broadcast(x, shape).data);
    const count = shape.reduce((a, b) => a * b, 1);
    return { shape, data: Array.from({ length: count }, (_, k) => f(...data.map((d) => d[k]))) };
};
""",
    "array": """
// An array out of nested lists.
const array = (x) => {
    const shape = [];
    for (let y = x; Array.isArray(y); y = y[0]) shape.push(y.length);
    return { shape, data: [x].flat(Infinity) };
};
""",
    "full": """
const full = (shape, x) => build(shape, () => x);
""",
    "zeros": """
const zeros = (shape) => build(shape, () => 0);
""",
    "row": """
const row = (x, n) => {
    if (Array.isArray(x)) return x[n];
    const shape = x.shape.slice(1), size = shape.reduce((a, b) => a * b, 1);
    return { shape, data: x.data.slice(n * size, (n + 1) * size) };
};
""",
    "lists": """
const lists = (count, n) => Array.from({ length: count }, () => new Array(n));
""",
    "stack": """
const stack = (xs) => ({ shape: [xs.length, ...xs[0].shape], data: xs.flatMap((x) => x.data) });
""",
    "sumOf": """
const sumOf = (xs) => xs.reduce((a, b) => add(a, b));
""",
    "reshape": """
const reshape = (x, shape) => ({ shape, data: x.data });
""",
    "transpose": """
const transpose = (x, axes) => ({
    shape: axes.map((a) => x.shape[a]), data: along_axes(x.shape, axes).map((k) => x.data[k]) });
""",
    "within": """
const within = (i, bounds) => i.map((k, axis) => bounds[axis][0] + k * bounds[axis][2]);
""",
    "slice": """
// bounds: [start, count, step] of every axis.
const slice = (x, bounds) => build(bounds.map((b) => b[1]), (i) => at(x, within(i, bounds)));
""",
    "place": """
// Zeros with x in a part of it.
const place = (x, bounds, shape) => {
    const out = zeros(shape);
    indices(x.shape).forEach((i, n) => {
        out.data[offset(shape, within(i, bounds))] = x.data[n];
    });
    return out;
};
""",
    "concat": """
const concat = (xs, axis) => {
    const shape = [...xs[0].shape];
    shape[axis] = xs.reduce((n, x) => n + x.shape[axis], 0);
    return build(shape, (i) => {
        let j = [...i], n = 0;
        while (j[axis] >= xs[n].shape[axis]) { j[axis] -= xs[n].shape[axis]; n += 1; }
        return at(xs[n], j);
    });
};
""",
    "take": """
const take = (x, index) => build([...index.shape, ...x.shape.slice(1)], (i) => {
    const n = at(index, i.slice(0, index.shape.length));
    return at(x, [n < 0 ? n + x.shape[0] : n, ...i.slice(index.shape.length)]);
});
""",
    "scatter": """
// Zeros with the rows of x added at the rows `index`.
const scatter = (x, index, size) => {
    const out = zeros([size, ...x.shape.slice(index.shape.length)]);
    indices(x.shape).forEach((i, k) => {
        const n = at(index, i.slice(0, index.shape.length));
        const to = [n < 0 ? n + size : n, ...i.slice(index.shape.length)];
        out.data[offset(out.shape, to)] += x.data[k];
    });
    return out;
};
""",
    "along": """
// A function of the list of numbers along some axes.
const along = (f) => (x, over) => {
    const left = x.shape.map((_, axis) => axis).filter((axis) => !over.includes(axis));
    const inner = along_axes(x.shape, over);
    return { shape: left.map((axis) => x.shape[axis]), data: along_axes(x.shape, left).map(
        (i) => f(inner.map((j) => x.data[i + j]))) };
};
""",
    "lines": """
// A function of lists to lists of the same length, along one axis of one or more arrays.
const lines = (f) => (axis, ...xs) => {
    const shape = xs[0].shape, out = zeros(shape);
    for (const i of indices(shape.map((n, k) => (k === axis ? Math.min(n, 1) : n)))) {
        const place = (k) => offset(shape, i.map((n, a) => (a === axis ? k : n)));
        const steps = Array.from({ length: shape[axis] }, (_, k) => k);
        f(...xs.map((x) => steps.map((k) => x.data[place(k)])))
            .forEach((value, k) => { out.data[place(k)] = value; });
    }
    return out;
};
""",
    "backwards": """
const backwards = (reverse, f) => (...xs) => (
    reverse ? f(...xs.map((x) => [...x].reverse())).reverse() : f(...xs));
""",
    "running": """
const running = (f) => (x, axis, reverse) => lines(backwards(reverse, (list) => {
    let total = null;
    return list.map((v) => (total = total === null ? v : f(total, v)));
}))(axis, x);
""",
    "linear_recurrence": """
// h_t = a_t * h_{t-1} + b_t along an axis; h = b at the first step.
const linear_recurrence = (a, b, axis, reverse) => lines(backwards(reverse, (as, bs) => {
    let h = null;
    return as.map((f, t) => (h = h === null ? bs[t] : f * h + bs[t]));
}))(axis, a, b);
""",
    "argsort": """
// Positions in order, NaN last; equal numbers stay in their order.
const argsort = (x, axis, descending) => lines((list) => list.map((_, k) => k).sort((j, k) => {
    const [a, b] = descending ? [list[k], list[j]] : [list[j], list[k]];
    const order = Number.isNaN(a) - Number.isNaN(b) || (a < b ? -1 : a > b ? 1 : 0);
    return order || j - k;
}))(axis, x);
""",
    "last_maximum": """
// Where the largest so far stands: the last of equal ones, the first NaN.
const last_maximum = (x, axis) => lines((list) => {
    let at = 0;
    return list.map((v, k) => {
        const best = list[at];
        if (v >= best || (Number.isNaN(v) && !Number.isNaN(best))) at = k;
        return at;
    });
})(axis, x);
""",
    "searchsorted": """
const searchsorted = (x, v, side) => each((y) => {
    const before = (a) => a < y || (side === "right" && a === y) || (
        Number.isNaN(y) && (side === "right" || !Number.isNaN(a)));
    return x.data.filter(before).length;
})(v);
""",
    "einsum": """
// Sums of products; the letters name axes, those missing on the right are summed over.
const einsum = (spec, ...xs) => {
    const [left, out] = spec.split("->"), subs = left.split(","), size = {};
    subs.forEach((sub, k) => [...sub].forEach((c, axis) => { size[c] = xs[k].shape[axis]; }));
    const free = [...out], summed = Object.keys(size).filter((c) => !out.includes(c));
    const inner = indices(summed.map((c) => size[c]));
    return build(free.map((c) => size[c]), (i) => inner.reduce((so_far, j) => {
        const value = {};
        free.forEach((c, k) => { value[c] = i[k]; });
        summed.forEach((c, k) => { value[c] = j[k]; });
        return so_far + xs.reduce((p, x, k) => p * at(x, [...subs[k]].map((c) => value[c])), 1);
    }, 0));
};
""",
    "matmul": """
const matmul = (a, b) => {
    const [rows, columns] = [a.shape.slice(0, -1), b.shape.slice(1)];
    const [n, m, count] = [rows[0] ?? 1, columns[0] ?? 1, b.shape[0]];
    const data = new Array(n * m).fill(0);
    for (let i = 0; i < n; i++) for (let j = 0; j < count; j++) for (let k = 0; k < m; k++)
        data[i * m + k] += a.data[i * count + j] * b.data[j * m + k];
    return { shape: [...rows, ...columns], data };
};
""",
    "outer": """
const outer = (a, b) => ({
    shape: [...a.shape, ...b.shape], data: a.data.flatMap((x) => b.data.map((y) => x * y)) });
""",
    "bits": """
const bits = (f) => (x, y) => {
    const found = f(BigInt(x), BigInt(y));
    return typeof x === "boolean" ? Boolean(found) : Number(found);
};
""",
    "erfOf": """
// The error function by its series, whose terms are all positive.
const erfOf = (x) => {
    if (!(Math.abs(x) < 6)) return Number.isNaN(x) ? x : Math.sign(x);
    let term = x, series = x;
    for (let n = 1; n < 200; n++) { term *= (2 * x * x) / (2 * n + 1); series += term; }
    return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * series;
};
""",
    "sinc": """
// The derivative of that order of sin(pi x) / (pi x): its series near 0, else recursively.
const sinc = (x, order) => each((v) => {
    const u = Math.PI * v, scale = Math.PI ** order;
    if (Math.abs(u) < order + 1) {
        let series = 0;
        for (let k = Math.floor((order + 1) / 2); k < order + 16; k++) {
            let c = (-1) ** k;
            for (let j = 1; j <= 2 * k + 1; j++) c /= j;
            for (let j = 0; j < order; j++) c *= 2 * k - j;
            series += c * u ** (2 * k - order);
        }
        return scale * series;
    }
    let y = Math.sin(u) / u;
    for (let n = 1; n <= order; n++) y = (Math.sin(u + (n * Math.PI) / 2) - n * y) / u;
    return scale * y;
})(x);
""",
    "position": """
const position = (better) => (list) => {
    let best = 0;
    list.forEach((v, k) => {
        if (!Number.isNaN(list[best]) && (Number.isNaN(v) || better(v, list[best]))) best = k;
    });
    return best;
};
""",
}  # fmt: skip
EACH = {  # functions of numbers
    "add": "(...xs) => xs.reduce((a, b) => (typeof a === 'boolean' ? a || b : a + b))",
    "subtract": "(x, y) => x - y", "multiply": "(x, y) => x * y", "divide": "(x, y) => x / y",
    "negative": "(x) => -x", "square": "(x) => x * x",
    "pow": "(x, y) => (x === 1 || (x === -1 && !Number.isFinite(y) && y === y) ? 1 : x ** y)",
    "absorb": "(g, slope) => (g === 0 ? g : g * slope)",
    "floor_divide": "(x, y) => Math.floor(x / y)",
    "remainder": "(x, y) => ((r) => (r !== 0 && r < 0 !== y < 0 ? r + y : r))(x % y)",
    "round": "(x) => (Math.abs(x % 1) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x))",
    "copysign": "(x, y) => (y < 0 || Object.is(y, -0) ? -Math.abs(x) : Math.abs(x))",
    "relu": "(x) => (x < 0 ? 0 : x)", "maximum": "(x, y) => Math.max(x, y)",
    "minimum": "(x, y) => Math.min(x, y)", "where": "(c, x, y) => (c ? x : y)",
    "equal": "(x, y) => Number(x) === Number(y)", "not_equal": "(x, y) => Number(x) !== Number(y)",
    "less": "(x, y) => x < y", "less_equal": "(x, y) => x <= y", "greater": "(x, y) => x > y",
    "greater_equal": "(x, y) => x >= y", "logical_and": "(x, y) => Boolean(x) && Boolean(y)",
    "logical_or": "(x, y) => Boolean(x) || Boolean(y)", "logical_xor": "(x, y) => !x !== !y",
    "logical_not": "(x) => !x", "isnan": "(x) => Number.isNaN(x)",
    "isinf": "(x) => Math.abs(x) === Infinity", "isfinite": "(x) => Number.isFinite(Number(x))",
    "signbit": "(x) => x < 0 || Object.is(x, -0)",
    "bitwise_and": "bits((x, y) => x & y)", "bitwise_or": "bits((x, y) => x | y)",
    "bitwise_xor": "bits((x, y) => x ^ y)", "bitwise_left_shift": "bits((x, y) => x << y)",
    "bitwise_right_shift": "bits((x, y) => x >> y)",
    "bitwise_invert": "(x) => (typeof x === 'boolean' ? !x : -1 - x)",
    "asin": "Math.asin", "acos": "Math.acos", "atan": "Math.atan", "atan2": "Math.atan2",
    "hypot": "Math.hypot", "erf": "erfOf",
    "logaddexp": "(x, y) => (x === y ? x + Math.LN2"
                 " : Math.max(x, y) + Math.log1p(Math.exp(-Math.abs(x - y))))",
    "xlogy": "(x, y) => (x === 0 && !Number.isNaN(y) ? 0 : x * Math.log(y))",
    "sigmoid": "(x) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)))",
    "softplus": "(x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)))",
    "to_bool": "(x) => Number(x) !== 0", "to_int": "(x) => Math.trunc(Number(x))",
    "to_float": "(x) => Number(x)", "to_single": "(x) => Math.fround(Number(x))",
} | {
    name: f"Math.{name}" for name in (
        "abs", "acosh", "asinh", "atanh", "cbrt", "ceil", "cos", "cosh", "exp", "expm1", "floor",
        "log", "log10", "log1p", "log2", "sign", "sin", "sinh", "sqrt", "tan", "tanh", "trunc",
    )
}  # fmt: skip
ALONG = {  # functions of the numbers along some axes
    "sum": "(list) => list.reduce((a, b) => a + b, 0)",
    "prod": "(list) => list.reduce((a, b) => a * b, 1)",
    "max": "(list) => list.reduce((a, b) => Math.max(a, b), -Infinity)",
    "any": "(list) => list.some(Boolean)", "all": "(list) => list.every(Boolean)",
    "norm": "(list) => (list.some(Number.isNaN) ? NaN : Math.hypot(...list))",
    "argmax": "position((a, b) => a > b)", "argmin": "position((a, b) => a < b)",
}
RUNNING = {"cumulative_sum": "(a, b) => a + b", "cumulative_prod": "(a, b) => a * b"}
HELPERS = (
    CORE
    | {name: f"const {name} = each({f});" for name, f in EACH.items()}
    | {name: f"const {name} = along({f});" for name, f in ALONG.items()}
    | {name: f"const {name} = running({f});" for name, f in RUNNING.items()}
)

# -- the table -------------------------------------------------------------------------------------

Words = Callable[[Tensor, list[str]], str]


def _call(name: str, *more: Callable[[Tensor], Any]) -> Words:
    """name(operands, more)."""

    def written(t: Tensor, words: list[str]) -> str:
        return f"{name}({', '.join([*words, *(_json(f(t)) for f in more)])})"

    return written


def _json(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_json, value)) + "]"
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)


def _along(t: Tensor) -> list[int]:
    return axes(t) if t.inputs[0].ndim else []


def _axis(t: Tensor) -> int:
    return _along(t)[0]


def _einsum(t: Tensor, words: list[str]) -> str:
    subs, out = t.attrs["subs"], t.attrs["out"]
    if len(subs) == 2:
        for a, b in ((0, 1), (1, 0)):
            sa, sb = subs[a], subs[b]
            if len(sa) == len(sb) == 1 and out == sa + sb:
                return f"outer({words[a]}, {words[b]})"
            pair = _matrices(sa, sb, out) if sa and sb and len(sa) < 3 else None
            if pair:
                x, y = (
                    f"transpose({words[k]}, [1, 0])" if turn else words[k]
                    for k, turn in zip((a, b), pair, strict=True)
                )
                return f"matmul({x}, {y})"
    return f'einsum("{",".join(subs)}->{out}", {", ".join(words)})'


def _shape(t: Tensor) -> tuple[int, ...]:
    return t.shape


TABLE: dict[str, Words] = {
    name: _call(name) for name in EACH if not name.startswith("to_")
} | {
    name: _call(name, _along) for name in ALONG
} | {
    name: _call(name, _axis, lambda t: t.attrs["reverse"])
    for name in (*RUNNING, "linear_recurrence")
} | {
    "stop_gradient": lambda t, words: words[0],
    "identity": lambda t, words: words[0], "checked": lambda t, words: words[0],
    "sinc": _call("sinc", lambda t: t.attrs["order"]),
    "astype": lambda t, words: "to_{}({})".format(
        {"bool": "bool", "float64": "float", "float32": "single"}.get(t.dtype.name, "int"), words[0]
    ),
    "reshape": _call("reshape", _shape), "broadcast_to": _call("broadcast_to", _shape),
    "permute_dims": _call("transpose", lambda t: [a % t.ndim for a in t.attrs["axes"]]),
    "slice": _call("slice", bounds), "place": _call("place", bounds, _shape),
    "concat": lambda t, words: f"concat([{', '.join(words)}], {t.attrs['axis'] % t.ndim})",
    "take": _call("take"), "scatter": _call("scatter", lambda t: t.attrs["size"]),
    "einsum": _einsum,
    "last_maximum": _call("last_maximum", _axis),
    "argsort": _call("argsort", _axis, lambda t: t.attrs["descending"]),
    "searchsorted": _call("searchsorted", lambda t: t.attrs["side"]),
}  # fmt: skip


def spelled(t: Tensor, parts: Sequence[Part], library: Library) -> Part:
    return TABLE[t.op.name](t, [text for text, _ in parts]), WHOLE


WORDS: dict[str, Any] = {
    "comment": "//", "end": "}", "gap": "\n\n", "grouped": "{}",
    "define": "function {name}({args}) {{", "return": "return {to};",
    "assign": "let {to} = {value};", "again": "{to} = {value};",
    "several": lambda items: f"[{', '.join(items)}]", "tuple": lambda xs: f"[{', '.join(xs)}]",
    "count": "for (let {k} = 0; {k} < {n}; {k}++) {{",
    "back": "for (let {k} = {n} - 1; {k} >= 0; {k}--) {{",
    "each": "for (const {k} of {list}) {{", "choose": "({test} ? {a} : {b})", "is": "{a} === {b}",
    "row": "row({x}, {n})", "lists": "let {to} = lists({count}, {n});",
    "list": "let {to} = new Array({n});", "none": "null",
    "total": "{rows}.reduce((so_far, m) => add(so_far, {x}[m]), {zero})", "sum": "sumOf({x})",
    "sums": "let {to} = [{lists}].map(sumOf);", "plus": "add({a}, {b})",
    "part": "take({x}, {rows})", "stack": "stack({x})", "array": "array({x})",
    "plain array": "array({x})",
    "integers": "array({x})", "scalar": "array({x})", "zeros": "zeros({shape})",
    "zeros of": "zeros({shape})", "full": "full({shape}, {x})",
    "key": lambda key: json.dumps(str(key)),
    "special": {"True": "true", "False": "false", "nan": "NaN", "inf": "Infinity"},
}  # fmt: skip
RESERVED = frozenset(
    "arguments await break case catch class const continue debugger default delete do else enum "
    "eval export extends false finally for function if implements import in instanceof interface "
    "let new null package private protected public return static super switch this throw true try "
    "typeof undefined var void while with yield Array BigInt Boolean Infinity Math NaN Number "
    "Object so_far m".split()
)
JAVASCRIPT = Library(
    "js", TABLE.get, (), WORDS, HELPERS, spelled, lambda shape: str(list(shape)),
    literals=EACH.__contains__, reserved=RESERVED | set(HELPERS),
)  # fmt: skip
