"""A graph -> the scene of the "ops" view: every operation a node.

Of a recurrence, the ops of one step are drawn in a frame, with the loop that the state takes; the
gradient in it is that of all steps together.
Broadcasts and casts are left out, since they carry no idea.
Repeated operands (``x * x``) are two edges.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from minigrad.graph import INPUT, Tensor, toposort, where_recorded
from minigrad.recur import PROJ, RECUR, parts_of
from minigrad.run.evaluate import evaluate

from .describe import lines, norm_line, number_text, tensor_text, value_text
from .draft import Draft
from .flow import argument_name, is_source
from .inside import HIDDEN, visible
from .passed import UNKNOWN, Passed
from .scene import Cluster, Scene, gradient_legend, norm_text
from .text import shorten
from .turns import op_turns, take_turns

MOST = 1500  # nodes; beyond, nobody can read the picture
SYMBOLS = {
    "add": "+",
    "subtract": "−",
    "multiply": "×",
    "divide": "÷",
    "negative": "−( )",
    "square": "( )²",
    "sigmoid": "σ",
    "einsum": "matmul",
    "sum": "Σ",
    "pow": "^",
    "permute_dims": "transpose",
}


def ops(
    outputs: Sequence[Tensor],
    scalar: Tensor | None = None,
    wrt: Sequence[Tensor] | None = None,
    title: str | None = None,
) -> Scene:
    """The scene. Raises ValueError for more than MOST operations.

    scalar: its gradient runs against the edges.  wrt: only to these leaves.
    """
    return _Ops(outputs, scalar, wrt, title).scene()


class _Ops:
    def __init__(
        self,
        outputs: Sequence[Tensor],
        scalar: Tensor | None,
        wrt: Sequence[Tensor] | None,
        title: str | None,
    ) -> None:
        self.ends = list(dict.fromkeys([*outputs, *([scalar] if scalar is not None else [])]))
        self.scalar, self.title = scalar, title
        self.order = toposort(self.ends)
        many = len(self.order) + sum(
            len(parts_of(r).block.nodes) for r in self.order if r.op is RECUR
        )
        if many > MOST:
            raise ValueError(
                f'draw: {many:,} operations are too many for the "ops" view (at most {MOST:,}); '
                'draw an inner result, or a recurrence with view="unfolded" or "folded"'
            )
        self.values = {}
        if all(t.op is not INPUT for t in self.order if not t.inputs):
            ordinary = [t for t in self.order if t.op is not RECUR]
            self.values = dict(zip(ordinary, evaluate(ordinary), strict=True))
        self.passed = None if scalar is None else Passed(scalar, self.order, wrt)
        self.norms = {} if self.passed is None else self.passed.norms
        self.draft = Draft()
        self.id: dict[Any, str] = {}

    def scene(self) -> Scene:
        # A leaf that only cells read is drawn in their frames.
        outer = {visible(i) for t in self.order if t.op not in (RECUR, PROJ) for i in t.inputs}
        self.outer = outer | {visible(end) for end in self.ends}
        for t in self.order:
            if t.op is RECUR:
                self._cell(t)
            elif t.op is not PROJ and t.op.name not in HIDDEN and (t.inputs or t in self.outer):
                self._operation(t)
        for end in self.ends:
            self._end(end)
        scalar = self.scalar
        if scalar is not None:
            # Of a frame its ops once, for all its nodes together: what leaves it comes first.
            slots = {e.target for e in self.draft.edges if e.kind == "state"}
            made = [
                id for id, node in self.draft.nodes.items()
                if node.kind == "op" or node.lane is not None
                and node.kind in ("output", "initial") and id not in slots
            ]  # fmt: skip
            take_turns(self.draft, op_turns(self.draft, made))
        legend = None if scalar is None else gradient_legend(scalar.name, self.draft.edges)
        if legend is not None and any(e.label == "?" for e in self.draft.edges):
            legend = replace(legend, keys=(("unknown", "gradient passes, how much is not known"),))
        count = sum(node.kind == "op" for node in self.draft.nodes.values())
        title = self.title if self.title is not None else f"{count} operation{'s' * (count != 1)}"
        return self.draft.scene("ops", title, legend)

    # -- nodes -------------------------------------------------------------------------------------

    def _node(self, key: Any, kind: str, label: str, **more: Any) -> str:
        self.id[key] = self.draft.node(kind, label, **more)
        return self.id[key]

    def _edge(
        self, source: str, target: str, slot: int = 0, flow: float | None = None, times: int = 1
    ) -> None:
        """One arrow, however many operands the source is: `times`."""
        many = {"label": f"{times}×", "tooltip": f"as {times} operands"} if times > 1 else {}
        self.draft.edge(source, target, slot=slot, **many)
        if flow == UNKNOWN:
            text = "gradient passes here; how much is not known, only what all operands get"
            self.draft.edge(target, source, "backward", label="?", slot=slot, tooltip=text)
        elif flow is not None:
            more = {"label": norm_text(flow), "tooltip": f"gradient norm {flow:.6g}"}
            self.draft.edge(target, source, "backward", norm=flow, slot=slot, **more)

    def _operation(self, t: Tensor, lane: str | None = None, key: Any = None) -> str:
        value = self.values.get(t) if lane is None else None
        size = self.norms.get(t) if lane is None else None
        text = lines(
            f"{t.name}: {t.op.name}" if t.name else t.op.name,
            tensor_text(t),
            " , ".join(t.attrs.get("subs", ())) + " → " + t.attrs["out"]
            if "subs" in t.attrs
            else "",
            value_text(value) if value is not None else "",
            norm_line(size),
            where_recorded(t),
        )
        if t.inputs:
            kind, label = "op", SYMBOLS.get(t.op.name, t.op.name)
        elif is_source(t) or t.op is INPUT:
            kind, label = "input", shorten(t.name or "array", 16)
        else:
            kind, label = "constant", constant_label(t)
        detail = shorten(t.name, 16) if t.name and t.inputs else ""
        id = self._node(key or t, kind, label, detail=detail, tooltip=text, norm=size, lane=lane)
        if lane is None:
            by_source: dict[str, list[int]] = {}
            for k, source in enumerate(t.inputs):
                by_source.setdefault(self._source(source), []).append(k)
            for name, operands in by_source.items():
                flow = None if self.passed is None else self.passed.along(t, operands)
                self._edge(name, id, operands[0], flow, len(operands))
        return id

    def _source(self, t: Tensor) -> str:
        """The node drawn for a value: behind hidden ops, or in the frame that it leaves."""
        shown = visible(t)
        return self.id[shown.inputs[0], shown.attrs["ref"]] if shown.op is PROJ else self.id[shown]

    def _cell(self, r: Tensor) -> None:
        """The ops of one step in a frame: what arrives at its left, what leaves at its right."""
        block, structure, _ = parts_of(r)
        lane = f"c{len(self.draft.clusters)}"
        self.draft.clusters.append(
            Cluster(
                lane,
                block.name,
                framed=True,
                tooltip=f"one of {structure.n} applications of {block.name}",
            )
        )
        asked = [p.attrs["ref"] for p in self.order if p.op is PROJ and p.inputs[0] is r]
        sent = list(block.ports.items()) if structure.wires else []
        inside = toposort([*asked, *(t for _, t in sent)])
        arrives = {t: slot for (slot, _), t in block.slots.items()}
        several = structure.slots > 1
        given = {ph: k for k, ph in enumerate(block.inputs)}
        own: dict[Tensor, str] = {}
        for t in inside:
            if t.op is RECUR or t.op.name in HIDDEN:
                continue
            if t in arrives:
                label = f"{t.name or 'h'} in" + (f" {arrives[t]}" if several else "")
                text = lines(f"{t.name or 'state'} from slot {arrives[t]}", tensor_text(t))
                own[t] = self._node(
                    (r, t, "slot"), "initial", shorten(label, 16), lane=lane, tooltip=text
                )
            elif t in given:
                own[t] = self._placeholder(r, given[t], lane)
            elif t.op is PROJ:
                text = lines(f"result of {t.inputs[0].attrs['block'].name}", tensor_text(t))
                own[t] = self._node(
                    (r, t, "op"),
                    "op",
                    t.name or parts_of(t.inputs[0]).block.name,
                    lane=lane,
                    tooltip=text,
                )
            else:
                own[t] = self._operation(t, lane, (r, t, "op"))
            read = [own.get(visible(x)) for x in (t if t.op is not PROJ else t.inputs[0]).inputs]
            for name in dict.fromkeys(filter(None, read)):
                at = [k for k, other in enumerate(read) if other == name]
                flow = None if self.passed is None else self.passed.within(r, t, at)
                self._edge(name, own[t], at[0], flow, len(at))
        for ref in dict.fromkeys(asked):
            name = ref.name or _state_name(block, ref) or "y"
            pill = self._node(
                (r, ref), "output", shorten(name, 14), lane=lane, tooltip=tensor_text(ref)
            )
            flow = None if self.passed is None else self.passed.leaving(r, ref, onward=False)
            self._edge(own[visible(ref)], pill, 0, flow)
        for (port, leaf), t in sent:
            name = _slot_name(block, leaf)
            many = f" {port}" if structure.ports > 1 else ""
            text = lines(f"{name} to the next nodes", tensor_text(t))
            pill = self._node(
                (r, port, leaf, "port"),
                "initial",
                shorten(f"{name} out{many}", 16),
                lane=lane,
                tooltip=text,
            )
            flow = None if self.passed is None else self.passed.leaving(r, t, onward=True)
            self._edge(own[visible(t)], pill, 0, flow)
            self._loops(r, port, leaf, pill, own)
        if self.passed is not None and structure.n > 1 and sent:
            self.draft.notes.append(
                f"an arrow in the frame of {block.name} stands for all its {structure.n:,} "
                "applications: the root of the sum of their squares; into a parameter, their sum"
            )
        for k, (ph, arg) in enumerate(zip(block.inputs, r.inputs, strict=True)):
            if ph in own and (visible(arg).inputs or visible(arg) in self.outer):
                flow = None if self.passed is None else self.passed.along(r, [k])
                self._edge(self._source(arg), own[ph], k, flow)

    def _loops(self, r: Tensor, port: int, leaf: int, pill: str, own: dict[Tensor, str]) -> None:
        """From where the state leaves to where it comes in at the next nodes."""
        block, structure, _ = parts_of(r)
        for (slot, at), ph in block.slots.items():
            edges = (structure.port == port) & (structure.slot == slot)
            if at != leaf or ph not in own or not edges.any():
                continue
            cut = structure.keep is not None and not structure.keep[edges].any()
            where = "step" if structure.kind == "chain" else "node"
            word = f"{shorten(_slot_name(block, leaf), 12)} to the next {where}"
            word += f", slot {slot}" if structure.slots > 1 else ""
            text = lines(word, f"{int(edges.sum()):,} edges of the structure")
            self.draft.edge(pill, own[ph], "state", label=word, slot=slot, tooltip=text, cut=cut)
            flow = None if self.passed is None else self.passed.around(r, slot, leaf, port)
            if flow is not None and not cut:
                more = {"label": norm_text(flow), "tooltip": f"gradient norm {flow:.6g}"}
                self.draft.edge(own[ph], pill, "backward", norm=flow, slot=slot, **more)

    def _placeholder(self, r: Tensor, k: int, lane: str) -> str:
        block, _, vias = parts_of(r)
        ph, arg, via = block.inputs[k], r.inputs[k], vias[k].kind
        kind, name = "shared" if via == "shared" else "input", argument_name(r, k)
        leaf = visible(arg)
        norm = self.norms.get(arg)
        text = lines(
            f"{name}: {tensor_text(ph)}",
            f"from {leaf.name or leaf.op.name}, {tensor_text(leaf)} ({via})",
            value_text(self.values[arg]) if arg in self.values else "",
            norm_line(norm),
        )
        return self._node(
            (r, ph, "op"), kind, shorten(name, 16), lane=lane, tooltip=text, norm=norm
        )

    def _end(self, end: Tensor) -> None:
        kind = "loss" if end is self.scalar else "output"
        name = end.name or ("loss" if kind == "loss" else "output")
        value = self.values.get(end)
        id = self._node(
            ("end", end),
            kind,
            shorten(name, 16),
            detail=number_text(value),
            tooltip=lines(name, tensor_text(end), value_text(value) if value is not None else ""),
        )
        self._edge(self._source(end), id, 0, 1.0 if end is self.scalar else None)


def constant_label(t: Tensor) -> str:
    if t._value is not None and t.size == 1:
        return f"{t._value.reshape(-1)[0]:g}".replace("-", "−")
    return f"const {t.shape}" if t.shape else "const"


def _slot_name(block: Any, leaf: int) -> str:
    names: Iterable[str] = (t.name or "" for (_, at), t in block.slots.items() if at == leaf)
    return next(filter(None, names), "h")


def _state_name(block: Any, ref: Tensor) -> str:
    return next((_slot_name(block, leaf) for (_, leaf), t in block.ports.items() if t is ref), "")
