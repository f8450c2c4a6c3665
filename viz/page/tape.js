// The tape: nodes in the order in which they run, forward, and back from one number.
// A value is {shape, data}, data flat in C order; OPS stands before this file, out of Python.

const finite = Number.isFinite;
const times = (n, f) => Array.from({ length: n }, f);
const count = (shape) => shape.reduce((a, b) => a * b, 1);
const whole_ = (x) => (typeof x === "object" ? x : { shape: [], data: [x] });
const zeros_ = (shape) => ({ shape, data: new Array(count(shape)).fill(0) });
const plus = (a, b) => ({ shape: a.shape, data: a.data.map((v, k) => v + b.data[k]) });
const norm_ = (x) => {
  const top = x.data.reduce((m, v) => (Math.abs(v) > m || v !== v ? Math.abs(v) : m), 0);
  if (top === 0 || !finite(top)) return top;
  return top * Math.sqrt(x.data.reduce((s, v) => s + (v / top) ** 2, 0));
};

// Numbers of Python's: a list, or the bytes of float32 or float64 in base64.
const decode = ({ shape, list, f4, f8 }) => {
  if (list) return { shape, data: list };
  const bytes = Uint8Array.from(atob(f4 ?? f8), (c) => c.charCodeAt(0));
  const view = new DataView(bytes.buffer), wide = f4 === undefined;
  const get = (k) => (wide ? view.getFloat64(8 * k, true) : view.getFloat32(4 * k, true));
  return { shape, data: times(count(shape), (_, k) => get(k)) };
};

// What a program does besides ops: rows of tables, tables of rows, sums, gradients that are stopped.
const ROW = {
  name: "row",
  run: (d, [x], { n }) => {
    const shape = x.shape.slice(1), size = count(shape);
    return { shape, data: x.data.slice(n * size, (n + 1) * size) };
  },
  pull: [(d, [x], { n }) => {
    const out = zeros_(x.shape);
    d.data.forEach((v, k) => { out.data[n * d.data.length + k] = v; });
    return out;
  }],
};
const STACK = {
  name: "stack",
  run: (d, xs) => ({ shape: [xs.length, ...xs[0].shape], data: xs.flatMap((x) => x.data) }),
  pull: (k) => (d) => ROW.run(null, [d], { n: k }),
};
const SUM = { name: "sum", run: (d, xs) => xs.reduce(plus), pull: () => (d) => d };
const STOP = { name: "stop_gradient", run: (d, [x]) => x, pull: [null] };
const rule = (op, k) => (typeof op.pull === "function" ? op.pull(k) : op.pull[k]);

class Tape {
  constructor() { this.nodes = []; }

  push(node) { return this.nodes.push({ args: [], name: "", formula: "", ...node }) - 1; }

  leaf(name, value, more = {}) { return this.push({ name, value, ...more }); }

  // A node; `fixed`: nothing that it is computed from can be changed, so no gradient goes there.
  apply(op, args, more = {}) {
    const fixed = args.every((k) => this.nodes[k].fixed) || op === STOP;
    return this.push({ op, args, fixed, ...more });
  }

  // A cell written out at a place {unit, step}; what it reads and returns, by number.
  call(cell, args, place) {
    const at = [...args];
    for (const [op, refs, name, formula] of cell.lines) {
      at.push(op < 0
        ? this.leaf(name, decode(refs), { fixed: true, place })
        : this.apply(OPS[op], refs.map((k) => at[k]), { name, formula, place }));
    }
    return { cell, args, outs: cell.outputs.map((k) => at[k]), ids: at.slice(args.length), ...place };
  }

  values(node) { return node.args.map((k) => this.nodes[k].value); }

  forward() {
    for (const node of this.nodes) {
      if (!node.op) continue;
      node.value = whole_(node.op.run(null, this.values(node), node));
      if (node.value.data.includes(undefined))
        throw new RangeError(`${node.name || node.formula} reads a row that is not there`);
    }
    return this;
  }

  // Reverse mode from element `index` of a node: every vector-Jacobian product and every sum, in
  // the order in which they happen.  terms[k]: what arrived at node k: {from, value, event}.
  backward(id, index = 0) {
    const seed = zeros_(this.nodes[id].value.shape);
    seed.data[index] = 1;
    const terms = this.nodes.map(() => []), grad = this.nodes.map(() => null);
    const events = [{ kind: "seed", node: id, norm: 1 }];
    terms[id].push({ from: -1, value: seed, event: 0 });
    for (let k = id; k >= 0; k--) {
      const got = terms[k], node = this.nodes[k];
      if (!got.length) continue;
      grad[k] = got.map((t) => t.value).reduce(plus);
      if (got.length > 1)
        events.push({ kind: "sum", node: k, terms: got.length, norm: norm_(grad[k]) });
      node.args.forEach((to, arg) => {
        const pull = rule(node.op, arg);
        if (!pull || this.nodes[to].fixed) return;
        const value = whole_(pull(grad[k], this.values(node), node));
        terms[to].push({ from: k, value, event: events.length });
        events.push({ kind: "vjp", node: k, to, arg, norm: norm_(value) });
      });
    }
    return { terms, grad, events, seed: { id, index } };
  }

  // Of each node those that read it.
  get readers() {
    if (this.read?.length === this.nodes.length) return this.read;
    this.read = this.nodes.map(() => []);
    this.nodes.forEach(({ args }, k) => new Set(args).forEach((a) => this.read[a].push(k)));
    return this.read;
  }

  // Everything that these nodes are computed from (back), or that is computed from them.
  reach(ids, back) {
    const found = new Set(ids);
    if (back) {
      for (let k = this.nodes.length - 1; k >= 0; k--)
        if (found.has(k)) this.nodes[k].args.forEach((a) => found.add(a));
    } else {
      this.nodes.forEach((node, k) => { if (node.args.some((a) => found.has(a))) found.add(k); });
    }
    return found;
  }
}

// -- what there is to run ---------------------------------------------------------------------------
// A run: {tape, units: [{name, calls, start, level}], heads, params: [{name, label, id}], inputs, joins,
// sources, reads, seeds: [{label, id, index, step}], words}; calls[t] is a cell in column t, from
// column `start` on, for what reads a whole sequence stands behind it, as a decoder does; `level` is
// its row, from below; joins, sources and reads as `between.py` has them.

// The program of a drawing, with some steps left out: the state passes them, what they give is 0.
const runGraph = (program, left = new Set()) => {
  const tape = new Tape(), at = [], calls = [];
  const units = program.units.map((unit) => ({ ...unit, calls: [] }));
  const leaves = [];
  const kinds = {
    leaf: (k) => {
      const { name, label, value, fixed } = program.leaves[k];
      leaves.push({ name, label, id: tape.nodes.length });
      return tape.leaf(name, value, { fixed });
    },
    op: (k, refs, name, formula) => tape.apply(OPS[k], refs.map((r) => at[r]), { name, formula }),
    row: (ref, n) => tape.apply(ROW, [at[ref]], { n, name: "", formula: `row ${n + 1}` }),
    stack: (refs) => tape.apply(STACK, refs.map((r) => at[r]), { formula: "stack" }),
    sum: (refs) => tape.apply(SUM, refs.map((r) => at[r]), { formula: "sum" }),
    stop: (ref) => tape.apply(STOP, [at[ref]], { formula: "stop_gradient" }),
    zeros: (shape) => tape.leaf("0", zeros_(shape), { fixed: true }),
    call: (k, refs, unit, own) => {
      const step = units[unit].start + own;
      const cell = program.cells[k], args = refs.map((r) => at[r]);
      const call = tape.call(cell, args, { unit, step });
      if (left.has(step)) {
        const ports = new Map(cell.ports.map(([slot, out]) => [out, slot]));
        call.left = true;
        call.outs = call.outs.map((id, n) => (ports.has(n)
          ? tape.apply(PASS, [args[ports.get(n)]], { formula: "handed on", place: { unit, step } })
          : tape.apply(NOTHING, [id], { formula: "0", place: { unit, step } })));
      }
      units[unit].calls[step] = call;
      return calls.push(call) - 1;
    },
    out: (ref, k) => calls[at[ref]].outs[k],
  };
  for (const [kind, ...parts] of program.main) at.push(kinds[kind](...parts));
  const shared = new Set(units.flatMap(({ calls: cs }) => cs.flatMap(
    (c) => c.args.filter((_, k) => c.cell.inputs[k].shared))));
  const { steps } = program;
  return {
    tape, units, steps, heads: null,
    params: leaves.filter(({ id }) => !tape.nodes[id].fixed),
    shared,
    joins: new Map(program.joins.map(([u, s, k, v, t]) => [`${u} ${units[u].start + s} ${k}`, `c${v}_${units[v].start + t}`])),
    sources: new Map(program.sources.map(([u, s, k, of]) => [`${u} ${units[u].start + s} ${k}`, of])),
    reads: program.reads.map((read) => ({ ...read, id: at[read.line] })),
    words: times(steps, (_, t) => program.labels[t] ?? ""),
    seeds: program.seeds.map(({ label, line, index }) => ({ label, id: at[line], index })),
  };
};
const PASS = { name: "hand on", run: (d, [x]) => x, pull: [(d) => d] };
const NOTHING = { name: "nothing", run: (d, [x]) => zeros_(x.shape), pull: [null] };

// A language model over a sequence of words: cell, head and loss at every step.
const runModel = (model, cells, vocabulary, ids, next) => {
  const tape = new Tape(), places = {}, params = [];
  for (const [name, value] of Object.entries(model.params)) {
    places[name] = tape.leaf(name, value);
    params.push({ name, label: name.replace(/^cell\./, ""), id: places[name] });
  }
  const unit = { name: model.name, start: 0, level: 0, calls: [] }, heads = [], inputs = [];
  const cell = cells[model.cell], head = cells[model.head];
  const zero = ([slot]) => tape.leaf("0", zeros_(cell.inputs[slot].shape), { fixed: true });
  let states = cell.ports.map(zero);
  ids.forEach((id, step) => {
    const x = tape.apply(ROW, [places.embedding], {
      n: id, name: "x", formula: `embedding[${id}]`, place: { unit: -2, step } });
    const given = model.reads.map((what) => (
      what === "@x" ? x : typeof what === "number" ? states[what] : places[what]));
    const call = tape.call(cell, given, { unit: 0, step });
    states = cell.ports.map(([, out]) => call.outs[out]);
    unit.calls.push(call);
    const answer = { shape: [], data: [ids[step + 1] ?? next] };
    const target = tape.leaf("target", answer, { fixed: true });
    const given_ = { h: call.outs[model.gives], target };
    const read = head.inputs.map(({ name }) => given_[name] ?? places[name]);
    heads.push(tape.call(head, read, { unit: -1, step }));
    inputs.push(x);
  });
  const all = tape.apply(SUM, heads.map((h) => h.outs[0]), { name: "ΣL", formula: "sum of losses" });
  const seeds = heads.map((h, step) => (
    { label: `L${sub(step + 1)}`, id: h.outs[0], index: 0, step }));
  if (heads.length > 1) seeds.push({ label: "all losses together", id: all, index: 0 });
  return {
    tape, units: [unit], steps: ids.length, heads, params, inputs, seeds, joins: new Map(), sources: new Map(), reads: [],
    shared: new Set(params.map(({ id }) => id)),
    words: ids.map((id) => vocabulary[id]),
    targets: ids.map((_, t) => vocabulary[ids[t + 1] ?? next]),
    predicted: (t) => heads[t].outs[1],
  };
};

const sub = (n) => String(n).replace(/\d/g, (c) => "₀₁₂₃₄₅₆₇₈₉"[c]);
