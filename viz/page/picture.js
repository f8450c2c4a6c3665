// What is drawn of a run, as data and in parts: boxes, arrows, the gradient as ribbons against them,
// what each step adds to each parameter.

const NS = "http://www.w3.org/2000/svg";
const el = (tag, attributes = {}, ...children) => {
  const made = document.createElementNS(NS, tag);
  for (const [k, v] of Object.entries(attributes)) if (v !== null && v !== undefined) made.setAttribute(k, v);
  made.append(...children.filter((c) => c !== null && c !== undefined));
  return made;
};
const text = (x, y, words, kind = "", anchor = "middle") =>
  el("text", { x, y, class: kind, "text-anchor": anchor }, words);

// A norm in at most seven characters.
const short = (v) => {
  if (v === null || v === undefined) return "–";
  if (!finite(v)) return Number.isNaN(v) ? "NaN" : "∞";
  if (v === 0) return "0";
  if (v >= 0.01 && v < 1000) return String(Number(v.toPrecision(v < 100 ? 2 : 3)));
  const [m, e] = v.toExponential(1).split("e");
  return `${m}e${Number(e)}`;
};
const cut = (words, most) => {
  const all = [...words];
  return all.length <= most ? words : all.slice(0, Math.ceil((most - 1) / 2)).join("") + "…"
    + all.slice(all.length - Math.floor((most - 1) / 2)).join("");
};

// As much of it as is about so many pixels wide.
const fit = (words, wide) => {
  let most = [...words].length;
  while (most > 3 && [...cut(words, most)].reduce((sum, c) => sum + (/[A-Z…←→]/.test(c) ? 9.4 : 6.8), 0) > wide) most -= 1;
  return cut(words, most);
};

// What has flowed back until an event: sums of what some nodes sent to one.
class Flow {
  constructor(run, back, until) { Object.assign(this, { run, back, until }); }

  // The norm of what node `to` got from nodes that `test` takes; null where nothing came.
  to(id, test) {
    if (!this.back) return null;
    const nodes = this.run.tape.nodes;
    const got = this.back.terms[id].filter((t) => t.event < this.until
      && test(t.from < 0 ? null : nodes[t.from].place ?? null, t.from));
    return got.length ? norm_(got.map((t) => t.value).reduce(plus)) : null;
  }

  all(id) { return this.to(id, () => true); }

  // The norm of each row of what it got so; null where nothing came.
  rows(id, test) {
    if (!this.back) return null;
    const nodes = this.run.tape.nodes;
    const got = this.back.terms[id].filter((t) => t.event < this.until && test(t.from < 0 ? null : nodes[t.from].place ?? null));
    if (!got.length) return null;
    const sum = got.map((t) => t.value).reduce(plus);
    return times(sum.shape[0], (_, n) => norm_(ROW.run(null, [sum], { n })));
  }
}

const from = (unit, step) => (place) => place !== null && place.unit === unit && place.step === step;

// What is drawn, as data: boxes and arrows with the tape's nodes behind them, flows, parameters.
const scene = (run, back, until = Infinity) => {
  const flow = new Flow(run, back, until), { nodes, readers } = run.tape;
  const boxes = [], arrows = [], owner = new Map();
  const add = (box) => {
    boxes.push(box);
    box.ids.forEach((id) => { if (!owner.has(id)) owner.set(id, box.key); });
    return box.key;
  };
  run.units.forEach(({ name, calls, start, level }, unit) => calls.forEach((call, step) => add({
    key: `c${unit}_${step}`, kind: "cell", unit, level, step, own: step - start, ids: [...call.ids, ...call.outs], call,
    label: call.left ? "left out" : `t = ${step - start + 1}`, left: call.left,
    says: `${name}, step ${step - start + 1}${run.words[step] ? `, ${run.words[step]}` : ""}`,
  })));
  // What all steps of a unit read alike, as a memory; a vector without a gradient is none to draw.
  const memories = run.reads.filter(({ id, flat }) => !flat || (back && !back.terms[id].length));
  const feeds = new Map();  // inputs that only steps read, by key
  // What arrives at one slot from several nodes is their sum: each gets all of what comes back.
  const sums = new Set(run.units.flatMap((u) => u.calls.flatMap((c) => c.args)).filter((id) => nodes[id].op === SUM && !nodes[id].place));
  const parts = (id) => (sums.has(id) ? nodes[id].args.map((to) => [to, (_, by) => by === id]) : [[id, null]]);
  run.units.forEach(({ calls, start }, unit) => calls.forEach((call, step) => call.args.forEach((arg, k) => parts(arg).forEach(([id, by]) => {
    if (nodes[id].fixed || call.cell.inputs[k].shared || memories.some((r) => r.id === id && r.unit === unit)) return;
    const maker = nodes[id].place?.unit >= 0 ? nodes[id].place : null;
    const norm = flow.to(id, by ?? from(unit, step)), given = call.cell.inputs[k].name, name = leafOf(run, id) || (/^(arg)?\d*$/.test(given) ? "x" : given);
    if (maker) {
      const { unit: n, step: s } = maker;
      const same = arrows.find((a) => a.a === `c${n}_${s}` && a.b === `c${unit}_${step}` && a.name === name);
      if (!same) arrows.push({ kind: n === unit ? "state" : s === step ? "up" : "join", a: `c${n}_${s}`, b: `c${unit}_${step}`, id, name, norm });
      return;
    }
    const argument = `${unit} ${step} ${k}`, joined = run.joins.get(argument), of = run.sources.get(argument);  // an op or two on the way
    if (joined) { arrows.push({ kind: "join", a: joined, b: `c${unit}_${step}`, id, name, norm }); return; }
    const key = `x${step}_${id}`;
    // A row of a table of all steps is what stands at its own step, wherever it is read.
    const table = nodes[id].n !== undefined && !run.inputs && nodes[nodes[id].args[0]].value.shape[0] === calls.length - start;
    const at = table ? start + nodes[id].n : step;
    const called = of ? named(run, of) : ((table || run.inputs || nodes[id].n === undefined) && run.words[at]) || `${name}${sub(at - start + 1)}`;
    if (!feeds.has(key)) {
      feeds.set(key, add({ key, kind: "input", unit: -2, step, ids: [id], id, order: [...feeds.keys()].filter((x) => x.startsWith(`x${step}_`)).length,
        label: called, says: `input ${name} at step ${step - start + 1}: ${called}` }));
    }
    arrows.push({ kind: "in", a: key, b: `c${unit}_${step}`, id, name, norm });
  }))));
  const top = run.units.length - 1;
  if (run.heads) {
    run.heads.forEach((head, step) => {
      const loss = head.outs[0];
      add({ key: `L${step}`, kind: "loss", unit: top + 1, step, ids: [...head.ids], id: loss, seed: step,
        label: `L${sub(step + 1)}`, detail: nodes[loss].value.data[0].toPrecision(3),
        chosen: back && (back.seed.id === loss || run.seeds.find((s) => s.id === back.seed.id)?.step === undefined),
        says: `loss at step ${step + 1}: ${run.targets[step]} is next` });
      const call = run.units[top].calls[step];
      const read = head.args.find((id) => call.outs.includes(id) || call.args.includes(id));
      arrows.push({ kind: "out", a: `c${top}_${step}`, b: `L${step}`, id: read, name: "h", norm: flow.to(read, from(-1, step)) });
    });
  } else if (back) {
    const seen = run.tape.reach([back.seed.id], true), direct = new Set([back.seed.id]), onlyDirect = new Set();
    // What the loss reads, not through other steps; and what it alone reads so.
    for (let k = back.seed.id; k >= 0; k--) if (direct.has(k) && !nodes[k].place) nodes[k].args.forEach((a) => direct.add(a));
    for (let k = back.seed.id; k >= 0; k--) if (direct.has(k) && readers[k].every((n) => !seen.has(n) || onlyDirect.has(n))) onlyDirect.add(k);
    const ends = [];
    run.units.forEach(({ calls, start }, unit) => calls.forEach((call, step) => {
      const users = call.outs.map((id) => readers[id].filter((k) => !nodes[k].place && !sums.has(k) && direct.has(k)));
      const read = call.outs.filter((_, k) => users[k].length);
      if (!read.length || call.left) return;
      const known = users.flat().every((k) => onlyDirect.has(k));
      const norm = !known ? null : read.map((id) => flow.to(id, (place, by) => place === null && direct.has(by))).reduce((a, b) => (b === null ? a : Math.hypot(a ?? 0, b)), null);
      const whole = users.flat().every((k) => nodes[k].op === STACK || PARTS.has(nodes[k].formula));
      ends.push({ unit, step, start, norm, id: read[0], whole });
    }));
    // Of a table that is read as a whole, the steps from which nothing comes are not read, if others are.
    const some = ends.some(({ norm }) => norm !== 0);
    for (const { unit, step, start, norm, id, whole } of ends) {
      if (norm === 0 && whole && some) continue;
      const key = `L${unit}_${step}`;
      const seed = run.seeds.find((s) => s.id === back.seed.id && s.index === back.seed.index);
      add({ key, kind: "loss", unit: unit + 0.5, step, ids: [back.seed.id], id: back.seed.id, chosen: true, at: unit,
        label: cut(seed.label, 9), detail: nodes[back.seed.id].value.data[back.seed.index].toPrecision(3),
        says: `${seed.label}, which reads step ${step - start + 1}` });
      arrows.push({ kind: "out", a: `c${unit}_${step}`, b: key, id, name: "", norm });
    }
  }
  const params = run.params.filter(({ id }) => run.shared.has(id)).map(({ name, label, id }) => {
    const parts = times(run.steps, (_, step) => flow.to(id, (place) => place?.step === step));
    const apart = flow.to(id, (place) => place === null) ?? 0;  // outside of all steps
    const where = new Set(readers[id].flatMap((k) => nodes[k].place?.step ?? []));  // the columns in which it is read
    return { name, label, id, parts, where, apart, total: flow.all(id), sum: parts.reduce((a, b) => a + (b ?? 0), apart) };
  });
  const reads = memories.map((read) => ({ ...read, steps: run.units[read.unit].calls.map((_, t) => [t, flow.rows(read.id, from(read.unit, t))]).filter(Boolean) }));
  return { run, back, boxes, arrows, params, reads, owner, flow };
};

const PARTS = new Set(["side by side", "the same, of another shape"]);  // ops that the program makes for each row of a table

// A few steps {unit, step} in words.
const named = (run, of) => [...new Set(of.map(([u]) => u))].map((u) => (
  `${run.units[u].name} ${of.filter(([v]) => v === u).map(([, s]) => s + 1).join(", ")}`)).join(", ");

// The name of the array that a node is a row of, or another view.
const leafOf = (run, id) => {
  let node = run.tape.nodes[id];
  if (node.op !== ROW) return "";
  while (node.op && node.args.length === 1) node = run.tape.nodes[node.args[0]];
  return node.op ? "" : node.name.split(".").at(-1);
};

// Widths by the logarithm of the norm, over the range of the numbers themselves.
const scaleOf = (norms) => {
  const seen = norms.filter((v) => v > 0 && finite(v)).map(Math.log10);
  const high = seen.length ? Math.max(...seen) : 0, low = Math.min(high - 1, ...seen);
  return { high, low, of: (v) => (Math.log10(v) - low) / (high - low) };
};

const normsOf = ({ arrows, params, reads }) => [...arrows.map((a) => a.norm), ...reads.flatMap((r) => r.steps.flatMap(([, rows]) => rows ?? [])),
  ...params.flatMap((p) => [...p.parts, p.total])].filter((v) => v !== null);

const ribbon = (x1, y1, x2, y2, norm, scale) => {
  const dx = Math.sign(x2 - x1), dy = Math.sign(y2 - y1);
  if (norm === 0 || !finite(norm)) {
    return el("path", { d: `M${x1} ${y1}L${x2} ${y2}`, class: norm === 0 ? "flow none" : "flow broken" });
  }
  const w = 1 + 4.5 * scale.of(norm), head = w + 3.5, back = Math.min(2 * w + 4, 9);
  const at = (along, across) => `${(x2 - dx * along + dy * across).toFixed(1)} ${(y2 - dy * along + dx * across).toFixed(1)}`;
  const tail = (across) => `${(x1 + dy * across).toFixed(1)} ${(y1 + dx * across).toFixed(1)}`;
  return el("path", {
    class: "flow", "fill-opacity": (0.45 + 0.55 * scale.of(norm)).toFixed(2),
    d: `M${tail(w)}L${at(back, w)}L${at(back, head)}L${at(0, 0)}L${at(back, -head)}L${at(back, -w)}L${tail(-w)}Z`,
  });
};
const thin = (x1, y1, x2, y2) => {
  const dx = Math.sign(x2 - x1), dy = Math.sign(y2 - y1);
  return el("path", { class: "value", d: `M${x1} ${y1}L${x2 - dx * 5} ${y2 - dy * 5}m${3 * dy} ${3 * dx}l${5 * dx - 3 * dy} ${5 * dy - 3 * dx}l${-5 * dx - 3 * dy} ${-5 * dy - 3 * dx}z` });
};

// The parameters under a picture, one column a step.
const strips = ({ run, params }, svg, group, wide, high, scale) => {
  const w = Math.max(2, Math.min(26, (wide - 160) / run.steps));
  svg.append(text(6, high + 10, "parameter: total, and a column for each step’s share", "quiet", "start"));
  params.forEach((p, k) => {
    const yy = high + 22 + k * 18;
    const item = { key: `p${p.id}_0`, kind: "param", says: `${p.name}: gradient norm ${short(p.total)}` };
    group(item, el("rect", { class: "hit", x: 2, y: yy - 2, width: wide - 8, height: 18 }), text(6, yy + 12, cut(p.label, 11), "", "start"), text(140, yy + 12, short(p.total), "quiet", "end"),
      ...p.parts.flatMap((v, t) => (!p.where.has(t) ? [] : el("rect", { class: `square ${v === null ? "unused" : v === 0 ? "zero" : finite(v) ? "" : "broken"}`, x: 150 + t * w, y: yy + 1, width: Math.max(1, w - 1), height: 14, "fill-opacity": v > 0 && finite(v) ? Math.max(0.08, scale.of(v)).toFixed(2) : 1 },
        el("title", {}, `${p.name}, step ${t + 1}: ${short(v)}`)))));
  });
  return high + 30 + params.length * 18;
};

const seedOf = ({ run, back }) => back && run.seeds.find((s) => s.id === back.seed.id && s.index === back.seed.index);

// What the widths of ribbons mean.
const legend = (made, svg, wide, high, scale) => {
  const key = [];
  const seed = seedOf(made);
  if (made.back) {
    const low = Math.ceil(scale.low - 1e-9), decades = [scale.high, (scale.high + scale.low) / 2, scale.low];
    let x = 6;
    key.push(text(x, high + 18, `‖∂${seed ? seed.label : "L"}/∂·‖`, "", "start"));
    x += 30 + 8 * (seed ? seed.label.length + 6 : 7);
    for (const d of decades) {
      key.push(ribbon(x + 34, high + 14, x, high + 14, 10 ** d, scale), text(x + 40, high + 18, short(10 ** d), "quiet", "start"));
      x += 104;
    }
    if (wide >= 640) key.push(ribbon(x + 34, high + 14, x, high + 14, 0, scale), text(x + 40, high + 18, "exactly 0; no ribbon: no path", "quiet", "start"));
  }
  svg.append(el("g", { class: "key" }, ...key));
  return high + 30;
};
