"""Weights of other libraries, both ways: torch.nn.RNN, LSTM and GRU, and the ONNX operators.

Neither library is needed: a torch state dict is a dict of arrays or a safetensors file,
an ONNX operator its name, weights and attributes.
Their gates lie in one matrix, one below the other, transposed,
and every gate has two biases, which add up:

    torch   RNN, LSTM i f g o, GRU r z n       weight_ih (G H, I), weight_hh (G H, S)
    ONNX    RNN, LSTM i o f c, GRU z r h       W (D, G H, I), R (D, G H, H), B (D, 2 G H)

Everything is checked before anything is returned.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

import minigrad as mg

from .cells import GRU, LSTM, RNN, Cell
from .compose import Stack, stack
from .directions import Bidirectional, Layered, OverTime, bidirectional, layered, over_time
from .lstms import PeepholeLSTM, ProjectedLSTM
from .options import array, flag, shown, size, whole

__all__ = ["from_onnx", "from_torch", "onnx_node", "to_onnx", "to_torch"]

Params = dict[str, Any]
Arrays = dict[str, np.ndarray]
TORCH = {"RNN": " ", "LSTM": "ifgo", "GRU": "rzn"}
ONNX = {"RNN": " ", "LSTM": "iofg", "GRU": "zrn"}
KIND = {RNN: "RNN", LSTM: "LSTM", PeepholeLSTM: "LSTM", ProjectedLSTM: "LSTM", GRU: "GRU"}


def _key(letter: str, gate: str) -> str:
    return letter if gate == " " else f"{letter}_{gate}"


def _unpack(
    gates: str, w: np.ndarray, u: np.ndarray, b: np.ndarray, c: np.ndarray, after: bool
) -> Params:
    """Named gates from stacked ones: w (G H, I), u (G H, S); input, recurrent biases b, c (G H,).

    after : the GRU's n keeps both biases.
    """
    params: Params = {}
    pieces = zip(*(np.split(a, len(gates)) for a in (w, u, b, c)), strict=True)
    for gate, (w_g, u_g, b_g, c_g) in zip(gates, pieces, strict=True):
        params[_key("W", gate)] = np.array(w_g.T, order="C")
        params[_key("U", gate)] = np.array(u_g.T, order="C")
        two = after and gate == "n"
        params[_key("b", gate)] = b_g.copy() if two else b_g + c_g
        if two:
            params["c_n"] = c_g.copy()
    return params


def _pack(gates: str, params: Params) -> tuple[np.ndarray, ...]:
    """Stacked gates from named ones: (w, u, b, c); of two biases that add up the second is 0."""
    w = np.concatenate([params[_key("W", g)].T for g in gates])
    u = np.concatenate([params[_key("U", g)].T for g in gates])
    b = np.concatenate([params[_key("b", g)] for g in gates])
    c = [params.get(_key("c", g), np.zeros_like(params[_key("b", g)])) for g in gates]
    return w, u, b, np.concatenate(c)


def _parts(who: str, net: Any, params: Any) -> list[list[tuple[Cell, Params]]]:
    """The cells and parameters of each layer, one per direction."""

    if not isinstance(params, Mapping):
        raise TypeError(f"{who}: params must be a dict; got {shown(params)}")

    def part(name: str) -> Any:
        if name not in params:
            raise ValueError(f"{who}: params have no {name}, which {net!r} needs")
        return params[name]

    if isinstance(net, (Stack, Layered)):
        inner = net.cells if isinstance(net, Stack) else net.nets
        return [p for k, n in enumerate(inner) for p in _parts(who, n, part(f"layer{k}"))]
    if isinstance(net, Bidirectional) and net.lookahead is None:
        ways = (net.cell, "forward"), (net.backward_cell, "backward")
        return [[_checked(who, cell, part(name)) for cell, name in ways]]
    if isinstance(net, OverTime) and not net.reverse:
        return _parts(who, net.cell, params)
    return [[_checked(who, net, params)]]


def _checked(who: str, cell: Any, params: Any) -> tuple[Cell, Params]:
    if not isinstance(params, Mapping):
        raise TypeError(f"{who}: params must be a dict; got {shown(params)}")
    if type(cell) not in KIND:
        raise ValueError(f"{who}: {cell!r} has no counterpart there")
    shapes = cell.shapes()
    for name in {**shapes, **params}:
        found = array(who, str(name), params[name]).shape if name in params else "missing"
        if name not in shapes:
            raise ValueError(
                f"{who}: {name} is no parameter of {cell!r}: it has {', '.join(shapes)}"
            )
        if found != shapes[name]:
            raise ValueError(f"{who}: {name} is {found}; {cell!r} has {name} {shapes[name]}")
    return cell, {name: array(who, name, params[name]) for name in shapes}


def _arrays(who: str, what: str, given: Any, prefix: str = "") -> Arrays:
    """The arrays of a dict whose names begin so; None stands for one that is not there."""
    if not isinstance(given, Mapping):
        raise TypeError(f"{who}: {what} must be a dict of arrays; got {shown(given)}")
    for name in given:
        if not isinstance(name, str):
            raise TypeError(f"{who}: the names of tensors are texts; got {shown(name)}")
    return {
        name: array(who, name, a)
        for name, a in given.items()
        if a is not None and name.startswith(prefix)
    }


def _expect(who: str, tensors: Mapping[str, np.ndarray], wanted: Mapping[str, tuple]) -> None:
    """Raise ValueError for the first tensor that is missing, of another shape or not of floats."""
    for name, shape in wanted.items():
        if name not in tensors:
            raise ValueError(f"{who}: {name} is missing; expected shape {shape}")
        a = tensors[name]
        if a.shape != shape:
            raise ValueError(f"{who}: {name} has shape {a.shape}; expected {shape}")
        if a.dtype.kind != "f":
            raise ValueError(f"{who}: {name} holds {a.dtype}; expected floating-point numbers")


# -- torch -----------------------------------------------------------------------------------------

_NAME = re.compile(r"(weight_ih|weight_hh|weight_hr|bias_ih|bias_hh)_l(\d+)(_reverse)?")


def from_torch(
    state: Mapping[str, Any] | str | os.PathLike, *, prefix: str = "", nonlinearity: str = "tanh"
) -> tuple[Any, Params]:
    """A cell or net with its parameters from the state dict of torch.nn.RNN, LSTM or GRU.

    state        : name -> array, or a safetensors file of these.
    prefix       : only the names that begin so, "encoder.rnn.", as in a larger model.
    nonlinearity : of an nn.RNN, "tanh" or "relu": a state dict does not say.

    Returns (cell, params) of one direction, a `stack` for several layers;
    with the names of a backward direction (net, params): `bidirectional`, `layered` for several.
    Projections become `ProjectedLSTM`.  The parameters keep their dtype.

    Raises ValueError naming the tensor that is unknown, missing or of another shape;
    TypeError for what is no dict of arrays.
    """
    given = mg.load(state) if isinstance(state, (str, os.PathLike)) else state
    if not isinstance(prefix, str):
        raise TypeError(f"from_torch: prefix must be a text; got {shown(prefix)}")
    named = _arrays("from_torch", "state", given, prefix)
    tensors = {k[len(prefix) :]: a for k, a in named.items()}
    found = {name: _NAME.fullmatch(name) for name in tensors}
    for name, match in found.items():
        if match is None:
            raise ValueError(
                f"from_torch: {prefix}{name} is no tensor of nn.RNN, nn.LSTM or nn.GRU; theirs are "
                "weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, weight_hr_l0, and so on for "
                "l1, with _reverse for the way back"
            )
    matches = [m for m in found.values() if m]
    depth = 1 + max((int(m[2]) for m in matches), default=0)
    ways = ("", "_reverse") if any(m[3] for m in matches) else ("",)
    bias, proj = any(m[1][:4] == "bias" for m in matches), any(m[1][-1] == "r" for m in matches)
    kind, first = _torch_kind(tensors, proj)
    wanted: dict[str, tuple] = {}
    for k in range(depth):
        rows, reads = first.hidden_size * len(TORCH[kind]), first.input_size
        if k:
            reads = first.output_size * len(ways)
        for end in (f"_l{k}{way}" for way in ways):
            wanted["weight_ih" + end] = rows, reads
            wanted["weight_hh" + end] = rows, first.output_size
            if bias:
                wanted["bias_ih" + end] = wanted["bias_hh" + end] = (rows,)
            if proj:
                wanted["weight_hr" + end] = first.output_size, first.hidden_size
    _expect("from_torch", tensors, wanted)
    layers, params = [], {}
    for k in range(depth):
        reads = first.output_size * len(ways) if k else first.input_size
        cell = _torch_cell(kind, reads, first, nonlinearity)
        each = [_torch_params(kind, tensors, f"_l{k}{way}", bias, proj) for way in ways]
        layers.append(bidirectional(cell) if len(ways) > 1 else cell)
        params[f"layer{k}"] = (
            dict(zip(("forward", "backward"), each, strict=True)) if len(ways) > 1 else each[0]
        )
    if depth == 1:
        return layers[0], params["layer0"]
    return (layered if len(ways) > 1 else stack)(*layers), params


def _torch_kind(tensors: Arrays, proj: bool) -> tuple[str, Cell]:
    """Which of the three it is and its first layer's cell, from the shapes of the first weights."""
    for name in ("weight_hh_l0", "weight_ih_l0", *["weight_hr_l0"] * proj):
        if name not in tensors or tensors[name].ndim != 2:
            what = f"has shape {tensors[name].shape}" if name in tensors else "is missing"
            raise ValueError(f"from_torch: {name} {what}; expected a matrix")
    rows, state = tensors["weight_hh_l0"].shape
    hidden = tensors["weight_hr_l0"].shape[1] if proj else state
    kinds = {"LSTM": 4} if proj else {"RNN": 1, "GRU": 3, "LSTM": 4}
    kind = next((k for k, count in kinds.items() if rows == count * hidden and rows), None)
    if kind is None:
        fit = " or ".join(f"({n * hidden}, {state}) for {k}" for k, n in kinds.items())
        raise ValueError(f"from_torch: weight_hh_l0 has shape {(rows, state)}; expected {fit}")
    reads = tensors["weight_ih_l0"].shape[1]
    return kind, ProjectedLSTM(reads, hidden, state) if proj else Cell(reads, hidden)


def _torch_cell(kind: str, reads: int, first: Cell, nonlinearity: str) -> Cell:
    if kind == "RNN":
        return RNN(reads, first.hidden_size, nonlinearity)
    if isinstance(first, ProjectedLSTM):
        return ProjectedLSTM(reads, first.hidden_size, first.proj_size)
    return {"LSTM": LSTM, "GRU": GRU}[kind](reads, first.hidden_size)


def _torch_params(kind: str, tensors: Arrays, end: str, bias: bool, proj: bool) -> Params:
    w, u = tensors["weight_ih" + end], tensors["weight_hh" + end]
    none = np.zeros(len(w), w.dtype)
    b, c = (tensors[n + end] if bias else none for n in ("bias_ih", "bias_hh"))
    params = _unpack(TORCH[kind], w, u, b, c, kind == "GRU")
    if proj:
        params["V"] = np.array(tensors["weight_hr" + end].T, order="C")
    return params


def to_torch(net: Any, params: Any, *, prefix: str = "", bias: bool = True) -> Arrays:
    """The state dict of torch for a cell or net that torch has too.

    These are RNN, LSTM, ProjectedLSTM, GRU (reset_after), a `stack` of these,
    `bidirectional` or several of them `layered`.
    Write it with `mg.save(path, to_torch(net, params))`; torch reads the safetensors file.

    prefix : put in front of every name.
    bias   : False leaves the biases out, which must be 0.
             Our one bias becomes bias_ih, and bias_hh is 0 but for n of the GRU.

    Raises ValueError for what has no counterpart in torch, or parameters that are not the net's;
    TypeError for params that are no dict.
    """
    bias = flag("to_torch", "bias", bias)
    if not isinstance(prefix, str):
        raise TypeError(f"to_torch: prefix must be a text; got {shown(prefix)}")
    layers = _parts("to_torch", net, params)
    state: Arrays = {}
    first = layers[0][0][0]
    for k, ways in enumerate(layers):
        for (cell, p), way in zip(ways, ("", "_reverse"), strict=False):
            same = (type(cell), cell.hidden_size, cell.output_size) == (
                type(first), first.hidden_size, first.output_size,
            )  # fmt: skip
            if (
                not same or len(ways) != len(layers[0]) or type(cell) is PeepholeLSTM
                or not getattr(cell, "reset_after", True)
                or getattr(cell, "nonlinearity", None) != getattr(first, "nonlinearity", None)
            ):  # fmt: skip
                raise ValueError(
                    f"to_torch: {cell!r} in layer {k} is not what torch has: RNN, LSTM, "
                    "ProjectedLSTM or GRU with reset_after, the same in all layers and directions"
                )
            w, u, b, c = _pack(TORCH[KIND[type(cell)]], p)
            end = f"_l{k}{way}"
            arrays = {"weight_ih": w, "weight_hh": u}
            if bias:
                arrays |= {"bias_ih": b, "bias_hh": c}
            elif b.any() or c.any():
                raise ValueError(f"to_torch: bias=False but the biases of layer {k} are not 0")
            if "V" in p:
                arrays["weight_hr"] = np.array(p["V"].T, order="C")
            state |= {f"{prefix}{name}{end}": a for name, a in arrays.items()}
    return state


# -- ONNX ------------------------------------------------------------------------------------------

_DEFAULT = {"RNN": ("Tanh",), "LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh")}
# attributes that say nothing of what a cell computes,
# and values that are as good as left out (not clip=0.0, which would clip to nothing)
_READ = ("hidden_size", "layout", "direction", "activations", "linear_before_reset")
_NEUTRAL: dict[str, tuple] = {
    "input_forget": (0,), "output_sequence": (0, 1), "activation_alpha": ([], ()),
    "activation_beta": ([], ()),
}  # fmt: skip


def from_onnx(op_type: str, tensors: Mapping[str, Any], **attributes: Any) -> tuple[Any, Params]:
    """A cell or net with its parameters from an ONNX RNN, LSTM or GRU operator.

    op_type    : "RNN", "LSTM" or "GRU".
    tensors    : its weights by their names in the standard, W, R and, if there, B and P.
    attributes : as in the standard; those that change what a cell computes
                 and have no counterpart here (clip, other activations, input_forget) are refused.
                 `layout` only says how the data lie.

    `onnx_node` reads all three from a NodeProto.

    Returns (cell, params) of direction "forward",
    else (net, params): `over_time` backwards, or `bidirectional`.  The parameters keep their dtype.

    Raises ValueError naming the tensor or attribute and what was expected;
    TypeError for tensors that are no dict of arrays.
    """
    if not isinstance(op_type, str) or op_type not in ONNX:
        raise ValueError(f"from_onnx: op_type must be RNN, LSTM or GRU; got {shown(op_type)}")
    given = _arrays("from_onnx", "tensors", tensors)
    known = ("W", "R", "B", "P") if op_type == "LSTM" else ("W", "R", "B")
    for name in given:
        if name not in known:
            raise ValueError(f"from_onnx: {name} is no weight of {op_type}: {', '.join(known)}")
    direction = attributes.get("direction", "forward")
    ways_of_onnx = ("forward", "reverse", "bidirectional")
    if not isinstance(direction, str) or direction not in ways_of_onnx:
        raise ValueError(
            f"from_onnx: direction must be forward, reverse or bidirectional; got {direction!r}"
        )
    ways, gates = 1 + (direction == "bidirectional"), len(ONNX[op_type])
    w = given.get("W", np.zeros(()))
    if w.ndim != 3 or w.shape[1] % gates or not w.shape[1]:
        raise ValueError(
            f"from_onnx: W has shape {w.shape if 'W' in given else None}; expected ({ways}, "
            f"{gates} * hidden_size, input_size)"
        )
    for name in ("linear_before_reset", "layout"):
        value = attributes.get(name, 0)
        if not whole(value) or value not in (0, 1):
            raise ValueError(f"from_onnx: {name} must be 0 or 1; got {shown(value)}")
    reads = w.shape[2]
    hidden = size("from_onnx", "hidden_size", attributes.get("hidden_size", w.shape[1] // gates))
    shapes: dict[str, tuple] = {"W": (gates * hidden, reads), "R": (gates * hidden, hidden)}
    shapes |= {"B": (2 * gates * hidden,), "P": (3 * hidden,)}
    _expect("from_onnx", given, {k: (ways, *shapes[k]) for k in known if k in given or k in "WR"})
    after = bool(attributes.get("linear_before_reset", 0))
    cells: list[Any] = []
    for names in _activations(op_type, ways, attributes):
        if op_type == "RNN":
            cells.append(RNN(reads, hidden, names[0].lower()))
        elif op_type == "GRU":
            cells.append(GRU(reads, hidden, reset_after=after))
        else:
            cells.append((PeepholeLSTM if "P" in given else LSTM)(reads, hidden))
    params = [
        _onnx_params(op_type, {k: a[d] for k, a in given.items()}, after) for d in range(ways)
    ]
    if direction == "bidirectional":
        return bidirectional(*cells), {"forward": params[0], "backward": params[1]}
    return over_time(cells[0], True) if direction == "reverse" else cells[0], params[0]


def _activations(op_type: str, ways: int, attributes: Mapping[str, Any]) -> Iterable[Sequence[str]]:
    """The activations of each direction, when they and all other attributes are supported."""
    default = _DEFAULT[op_type]
    for name, value in attributes.items():
        neutral = value is None or any(
            type(value) is type(v) and value == v for v in _NEUTRAL.get(name, ())
        )
        if name not in _READ and not neutral:
            raise ValueError(f"from_onnx: attribute {name}={value!r} has no counterpart here")
    said = attributes.get("activations")
    said = default * ways if said is None or type(said) is list and not said else said
    if not isinstance(said, (list, tuple)):
        raise ValueError(
            f"from_onnx: activations={shown(said)}; a list is expected, {list(default)} for each "
            "direction"
        )
    given = tuple(said)
    each = [given[k : k + len(default)] for k in range(0, len(given), len(default))]
    allowed = [("Tanh",), ("Relu",)] if op_type == "RNN" else [default]
    if len(each) != ways or any(names not in allowed for names in each):
        raise ValueError(
            f"from_onnx: activations={list(given)}; expected {list(default)} for each direction"
            + (", or ['Relu']" if op_type == "RNN" else "")
        )
    return each


def _onnx_params(op_type: str, tensors: Arrays, after: bool) -> Params:
    w, r = tensors["W"], tensors["R"]
    b, c = np.split(tensors.get("B", np.zeros(2 * len(w), w.dtype)), 2)
    params = _unpack(ONNX[op_type], w, r, b, c, op_type == "GRU" and after)
    if "P" in tensors:
        params |= dict(zip(("p_i", "p_o", "p_f"), np.split(tensors["P"].copy(), 3), strict=True))
    return params


def to_onnx(net: Any, params: Any) -> tuple[str, Arrays, dict[str, Any]]:
    """(op_type, tensors W, R, B and P, attributes) of an ONNX operator.

    For an RNN, LSTM, PeepholeLSTM or GRU, forwards, `over_time` backwards, or `bidirectional`.

    Raises ValueError for what has no counterpart in ONNX, or parameters that are not the net's;
    TypeError for params that are no dict.
    """
    reverse = isinstance(net, OverTime) and net.reverse
    layers = _parts("to_onnx", net.cell if reverse else net, params)
    ways = layers[0]
    cells: list[Any] = [cell for cell, _ in ways]
    first = cells[0]
    what = {(type(c), c.hidden_size, getattr(c, "reset_after", None)) for c in cells}
    if len(layers) > 1 or len(what) > 1 or type(first) is ProjectedLSTM:
        raise ValueError(
            f"to_onnx: {net!r} is not what one operator of ONNX computes: an RNN, LSTM, "
            "PeepholeLSTM or GRU, the same in both directions"
        )
    op_type = KIND[type(first)]
    packed = [_pack(ONNX[op_type], p) for _, p in ways]
    tensors = {
        "W": np.stack([w for w, _, _, _ in packed]),
        "R": np.stack([u for _, u, _, _ in packed]),
        "B": np.stack([np.concatenate([b, c]) for _, _, b, c in packed]),
    }
    if type(first) is PeepholeLSTM:
        tensors["P"] = np.stack([np.concatenate([p[f"p_{g}"] for g in "iof"]) for _, p in ways])
    direction = "bidirectional" if len(ways) > 1 else "reverse" if reverse else "forward"
    attributes = {"hidden_size": first.hidden_size, "direction": direction}
    if op_type == "GRU":
        attributes["linear_before_reset"] = int(first.reset_after)
    if op_type == "RNN":
        attributes["activations"] = [c.nonlinearity.capitalize() for c in cells]
    return op_type, tensors, attributes


def onnx_node(node: Any, arrays: Mapping[str, Any]) -> tuple[str, Arrays, dict[str, Any]]:
    """(op_type, tensors, attributes) as `from_onnx` takes them, of a NodeProto.

    arrays : the graph's initialisers by name (onnx.numpy_helper.to_array of each),
             at least those the node reads as W, R, B and P.

    Raises TypeError for what is no NodeProto or no dict of arrays;
    ValueError for a tensor not among them, or an attribute that is neither numbers nor text.
    """
    parts = [getattr(node, name, None) for name in ("op_type", "input", "attribute")]
    if not isinstance(parts[0], str) or any(p is None for p in parts):
        raise TypeError(f"onnx_node: needs a NodeProto of the package onnx; got {shown(node)}")
    if not isinstance(arrays, Mapping):
        raise TypeError(f"onnx_node: arrays must be a dict of arrays; got {shown(arrays)}")
    places = {1: "W", 2: "R", 3: "B", 7: "P"}
    tensors = {}
    for at, name in enumerate(node.input):
        if at in places and name:
            if name not in arrays:
                raise ValueError(
                    f"onnx_node: {places[at]} of the {node.op_type} node is the tensor {name!r}, "
                    "which is not among the arrays"
                )
            tensors[places[at]] = np.asarray(arrays[name])
    fields = {1: "f", 2: "i", 3: "s", 6: "floats", 7: "ints", 8: "strings"}
    attributes: dict[str, Any] = {}
    for a in node.attribute:
        if a.type not in fields:
            raise ValueError(
                f"onnx_node: attribute {a.name} is neither numbers nor text; RNN, LSTM, GRU have "
                "no such one"
            )
        value = getattr(a, fields[a.type])
        if a.type == 3:
            value = value.decode()
        elif a.type > 3:
            value = [v.decode() if isinstance(v, bytes) else v for v in value]
        attributes[a.name] = value
    return node.op_type, tensors, attributes
