// The picture of a run: steps in columns that wrap into lines, states in lanes, the gradient as
// ribbons against the arrows, what each step adds to each parameter under it.

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
  if (!Number.isFinite(v)) return Number.isNaN(v) ? "NaN" : "∞";
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
}

const from = (unit, step) => (place) => place !== null && place.unit === unit && place.step === step;

// What is drawn, as data: boxes and arrows with the tape's nodes behind them, flows, parameters.
const scene = (run, back, until = Infinity) => {
  const flow = new Flow(run, back, until), nodes = run.tape.nodes;
  const boxes = [], arrows = [], owner = new Map();
  const add = (box) => {
    boxes.push(box);
    box.ids.forEach((id) => { if (!owner.has(id)) owner.set(id, box.key); });
    return box.key;
  };
  run.units.forEach(({ name, calls }, unit) => calls.forEach((call, step) => add({
    key: `c${unit}_${step}`, kind: "cell", unit, step, ids: [...call.ids, ...call.outs], call,
    label: call.left ? "left out" : `t = ${step + 1}`, left: call.left,
    says: `${name}, step ${step + 1}${run.words[step] ? `, ${run.words[step]}` : ""}`,
  })));
  const feeds = new Map();  // inputs that only steps read, by key
  run.units.forEach(({ calls }, unit) => calls.forEach((call, step) => call.args.forEach((id, k) => {
    if (call.cell.inputs[k].shared || nodes[id].fixed) return;
    const maker = nodes[id].place?.unit >= 0 ? nodes[id].place : null;
    const norm = flow.to(id, from(unit, step)), name = call.cell.inputs[k].name;
    if (maker) {
      const { unit: n, step: s } = maker;
      const same = arrows.find((a) => a.a === `c${n}_${s}` && a.b === `c${unit}_${step}` && a.name === name);
      if (!same) arrows.push({ kind: n === unit ? "state" : "up", a: `c${n}_${s}`, b: `c${unit}_${step}`, id, name, norm });
      return;
    }
    const key = `x${step}_${id}`;
    // A row of a table of all steps is what stands at its own step, wherever it is read.
    const at = nodes[id].n === undefined || run.inputs || nodes[nodes[id].args[0]].value.shape[0] !== run.steps ? step : nodes[id].n;
    const called = run.words[at] || `${name}${sub(at + 1)}`;
    if (!feeds.has(key)) {
      feeds.set(key, add({ key, kind: "input", unit: -2, step, ids: [id], id, order: [...feeds.keys()].filter((x) => x.startsWith(`x${step}_`)).length,
        label: called, says: `input ${name} at step ${step + 1}: ${called}` }));
    }
    arrows.push({ kind: "in", a: key, b: `c${unit}_${step}`, id, name, norm });
  })));
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
    const seen = run.tape.reach([back.seed.id], true);
    run.units.forEach(({ calls }, unit) => calls.forEach((call, step) => {
      const users = call.outs.map((id) => nodes.filter((n, k) => !n.place && seen.has(k) && n.args.includes(id)));
      const read = call.outs.filter((_, k) => users[k].length);
      if (!read.length || call.left) return;
      const norm = read.map((id) => flow.to(id, (place) => place === null)).reduce((a, b) => (b === null ? a : Math.hypot(a ?? 0, b)), null);
      // Of a table that is read as a whole, the steps from which nothing comes are not read.
      if (norm === 0 && users.flat().every((n) => n.op === STACK || n.formula === "side by side")) return;
      const key = `L${unit}_${step}`;
      const seed = run.seeds.find((s) => s.id === back.seed.id && s.index === back.seed.index);
      add({ key, kind: "loss", unit: unit + 0.5, step, ids: [back.seed.id], id: back.seed.id, chosen: true, at: unit,
        label: cut(seed.label, 9), detail: nodes[back.seed.id].value.data[back.seed.index].toPrecision(3),
        says: `${seed.label}, which reads step ${step + 1}` });
      arrows.push({ kind: "out", a: `c${unit}_${step}`, b: key, id: read[0], name: "", norm });
    }));
  }
  const params = run.params.filter(({ id }) => run.shared.has(id)).map(({ name, id }) => {
    const parts = Array.from({ length: run.steps }, (_, step) => {
      const norms = [flow.to(id, (place) => place !== null && place.step === step)];
      return norms[0];
    });
    return { name, id, parts, total: flow.all(id), sum: parts.reduce((a, b) => a + (b ?? 0), 0) };
  });
  return { run, back, boxes, arrows, params, owner, flow };
};

// Widths by the logarithm of the norm, over the range of the numbers themselves.
const scaleOf = (norms) => {
  const seen = norms.filter((v) => v > 0 && Number.isFinite(v)).map(Math.log10);
  const high = seen.length ? Math.max(...seen) : 0, low = Math.min(high - 1, ...seen);
  return { high, low, of: (v) => (Math.log10(v) - low) / (high - low) };
};

const normsOf = ({ arrows, params }) => [...arrows.map((a) => a.norm),
  ...params.flatMap((p) => [...p.parts, p.total])].filter((v) => v !== null);

const ribbon = (x1, y1, x2, y2, norm, scale) => {
  const dx = Math.sign(x2 - x1), dy = Math.sign(y2 - y1);
  if (norm === 0 || !Number.isFinite(norm)) {
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

// The picture as SVG. wide: pixels there are; marks: {now: Set of keys}.
const drawn = (made, wide, marks = {}) => {
  const { run, boxes, arrows, params } = made;
  const narrow = wide < 640, cellW = narrow ? 50 : 62, gap = narrow ? 56 : 66;
  // The steps that have a column; -1 stands for those between, which are folded.
  const middle = marks.fold && run.steps > 7;
  const shown = Array.from({ length: middle ? 7 : run.steps }, (_, k) => (
    !middle || k < 3 ? k : k === 3 ? -1 : run.steps - 7 + k));
  const column = new Map(shown.map((t, k) => [t, k]));
  const strip = shown.length > 14, wider = narrow ? 0 : Math.min(60, Math.max(0, ...params.map((p) => 7 * (p.name.replace(/^cell\./, "").length - 11)))), left = narrow ? 16 : 158 + wider;
  const colW = cellW + gap, columns = Math.max(1, Math.floor((wide - left - 34) / colW));
  const rows = [];
  const ledger = params.length && !strip;
  const lanes = run.units.map((_, u) => [...new Set(arrows.filter((a) => a.kind === "state" && a.b.startsWith(`c${u}_`)).map((a) => a.name))]);
  const cellH = lanes.map((names) => Math.max(44, 44 * names.length + 8));
  const loss = run.units.map((_, u) => boxes.some((b) => b.kind === "loss" && (b.at === u || (b.at === undefined && u === run.units.length - 1))));
  let y = 8;
  const cellY = [];
  for (let u = run.units.length - 1; u >= 0; u--) {
    if (loss[u]) y += 82;
    cellY[u] = y;
    y += cellH[u] + 44;
  }
  const inputs = Math.max(1, ...boxes.filter((b) => b.kind === "input").map((b) => b.order + 1));
  const inputY = y, ledgerY = inputY + 30 * inputs + 22, step = 21;
  const lineH = ledger ? ledgerY + step * params.length + (narrow ? 10 + 16 : 26) : inputY + 30 * inputs + 22;
  const count = Math.ceil(shown.length / columns);
  const scale = marks.scale ?? scaleOf(normsOf(made));
  const place = (t) => {
    const k = column.get(t) ?? column.get(-1);
    return { x: left + (k % columns) * colW + gap, y: Math.floor(k / columns) * lineH, folded: !column.has(t) };
  };
  const svg = el("g"), where = new Map(), groups = new Map();
  const group = (item, ...children) => {
    const kinds = ["item", item.kind, item.left ? "left" : "", item.chosen ? "chosen" : "", marks.now?.has(item.key) ? "now" : ""];
    const made = el("g", { class: kinds.filter(Boolean).join(" "), "data-key": item.key, tabindex: -1, role: "graphics-symbol", "aria-label": item.says },
      el("title", {}, item.says), ...children);
    groups.set(item.key, made);
    svg.append(made);
  };
  // Where a net above reads the inputs itself, it stands aside, so that they pass the one below.
  const aside = run.units.length > 1 && arrows.some((a) => a.kind === "in" && !a.b.startsWith("c0")) ? 24 : 0;
  for (const box of boxes) {
    const at = place(box.step), cx = at.x + cellW / 2;
    if (at.folded && box.kind !== "cell") continue;
    if (box.kind === "cell") where.set(box.key, { x: at.x - aside * box.unit, y: at.y + cellY[box.unit], w: cellW, h: cellH[box.unit] });
    else if (box.kind === "input") {  // stairs, so that each arrow starts beside those above
      const many = boxes.filter((b) => b.kind === "input" && b.step === box.step).length;
      const x = many > 1 ? at.x - 2 + 18 * (many - 1 - box.order) - (aside && box.order ? 18 : 0) : at.x - 12 - aside / 3;
      where.set(box.key, { x, y: at.y + inputY + 30 * box.order, w: at.x + cellW + 12 - x, h: 25, many });
    }
    else where.set(box.key, { x: cx - (cellW + 18) / 2 + (aside ? 9 - aside * box.at : 0), y: at.y + cellY[box.at ?? run.units.length - 1] - 82, w: cellW + (aside ? 0 : 18), h: 38 });
  }
  arrows.forEach((a, n) => {
    const A = where.get(a.a), B = where.get(a.b), parts = [];
    if (!A || !B || (A.x === B.x && A.y === B.y)) return;
    let label = null;
    if (a.kind === "state") {
      const unit = Number(a.b.slice(1).split("_")[0]), lane = lanes[unit].indexOf(a.name);
      const s = Number(a.a.split("_")[1]), t = Number(a.b.split("_")[1]), dir = t > s ? 1 : -1;
      const near = Math.abs(A.x - B.x) === colW && A.y === B.y;
      const y0 = 22 + 44 * lane;
      const draw = (x1, x2, yy) => {
        parts.push(thin(x1, yy - 7, x2, yy - 7));
        if (a.norm !== null) parts.push(ribbon(x2, yy + 4, x1, yy + 4, a.norm, scale));
      };
      if (near) {
        const [x1, x2] = dir > 0 ? [A.x + A.w, B.x] : [A.x, B.x + B.w];
        draw(x1 + dir, x2 - dir, A.y + y0);
        label = [(x1 + x2) / 2, A.y + y0 + 21];
      } else {  // the line goes on below, as in a text
        if (dir > 0) {
          draw(B.x - gap + 8, B.x - 1, B.y + y0);
          parts.push(el("path", { class: "value", d: `M${A.x + A.w + 1} ${A.y + y0 - 7}h12` }), text(A.x + A.w + 24, A.y + y0 - 2, "…", "quiet"));
          label = [B.x - gap / 2, B.y + y0 + 21];
        } else {
          draw(B.x + B.w + gap - 8, B.x + B.w + 1, B.y + y0);
          label = [B.x + B.w + gap / 2, B.y + y0 + 21];
        }
      }
    } else {
      const up = a.kind === "in" ? [A.y, B.y + B.h] : [A.y, B.y + B.h];
      const unit = a.b.startsWith("c") ? Number(a.b.slice(1).split("_")[0]) : 0;
      const far = a.kind === "in" && unit > 0 && aside, stairs = a.kind === "in" && A.many > 1, over = far ? 9 : stairs ? 6 : 17;
      const x = far ? B.x + aside * unit - 18 : stairs ? A.x + 3 : B.x + B.w / 2 - 10;
      parts.push(thin(x, up[0] - 1, x, up[1] + 1));
      if (a.norm !== null) parts.push(ribbon(x + over, up[1] + 2, x + over, up[0] - 2, a.norm, scale));
      label = stairs && !far ? [A.x + A.w + 3, A.y + 17, "start"] : [x + over + 11, far ? up[1] + 18 : up[0] - (a.kind === "in" ? 14 : 16), "start"];
    }
    if (a.norm !== null) parts.push(text(label[0], label[1], short(a.norm), `number${a.norm === 0 ? " zero" : ""}`, label[2] ?? "middle"));
    const says = `${a.name} ${a.kind === "state" ? "to the next step" : ""}: ${a.norm === null ? "no gradient passes" : `gradient norm ${short(a.norm)}`}`;
    const key = `a${n}`;
    const item = el("g", { class: `arrow ${a.kind}${marks.now?.has(a.a) && marks.now?.has(a.b) ? " now" : ""}`, "data-key": key, "data-from": a.a, "data-to": a.b }, el("title", {}, says), ...parts);
    svg.append(item);
  });
  if (middle) run.units.forEach((_, u) => {
    const { x, y: top } = where.get(`c${u}_3`), h = cellH[u], says = `steps 4 to ${run.steps - 3} are folded`;
    group({ key: `fold${u}`, kind: "cell", left: true, says }, el("rect", { x, y: top, width: cellW, height: h, rx: 10 }),
      text(x + cellW / 2, top + h / 2 - 3, `4 … ${run.steps - 3}`, "quiet"), text(x + cellW / 2, top + h / 2 + 12, "folded", "quiet"));
  });
  for (const box of boxes) {
    if (!column.has(box.step)) continue;
    const { x, y: top, w, h } = where.get(box.key), cx = x + w / 2;
    if (box.kind === "cell") {
      const names = lanes[box.unit];
      group(box, el("rect", { x, y: top, width: w, height: h, rx: 10 }),
        ...(run.units.length > 1 ? [text(cx, top + h / 2 - 4, cut(run.units[box.unit].name, 9), "quiet"), text(cx, top + h / 2 + 11, box.label)]
          : [text(cx, top + h / 2 + 4, box.label, box.left ? "quiet" : "")]),
        ...(names.length > 1 ? names.map((n, k) => text(cx, top + (k === 0 ? 15 : h - 6), cut(n + sub(box.step + 1), 8), "quiet")) : []));
    } else if (box.kind === "input") {
      group(box, el("rect", { x, y: top, width: w, height: h, rx: 7 }), text(cx, top + 17, cut(box.label, Math.floor(w / 7.4))));
    } else {
      group(box, el("rect", { x, y: top, width: w, height: h, rx: 9 }), text(cx, top + 16, box.label, "strong"), text(cx, top + 31, box.detail));
    }
  }
  if (ledger) {
    const most = Math.max(...params.map((p) => p.sum).filter(Number.isFinite), 1e-300);
    for (let line = 0; line < count; line++) {
      const top = line * lineH + ledgerY;
      if (line === 0 && !narrow) svg.append(text(6, top - 6, "parameter: total, and each step’s share", "quiet", "start"));
      params.forEach((p, k) => {
        const yy = top + k * step + 12;
        const item = { key: `p${p.id}_${line}`, kind: "param", says: `${p.name}: gradient norm ${short(p.total)}; the norms of the steps’ parts sum to ${short(p.sum)}` };
        const bar = (v) => (v > 0 && Number.isFinite(v) ? Math.max(1, 34 * (v / most)) : 0);
        const name = cut(p.name.replace(/^cell\./, ""), narrow ? 6 : 11 + Math.floor(wider / 7));
        const own = narrow ? [] : [text(6, yy + 4, name, "", "start"),
          el("rect", { class: "bar all", x: 82 + wider, y: yy - 5, width: bar(p.sum), height: 10 }),
          el("rect", { class: "bar", x: 82 + wider, y: yy - 5, width: bar(p.total), height: 10 }),
          text(158 + wider, yy + 4, short(p.total), "quiet", "end")];
        const steps = shown.slice(line * columns, (line + 1) * columns).flatMap((t, c) => {
          if (t < 0) return [];
          const v = p.parts[t], x = left + c * colW + gap - 12;
          const shade = v > 0 && Number.isFinite(v) ? Math.max(0.08, scale.of(v)) : 0;
          const kind = v === null ? "unused" : !Number.isFinite(v) ? "broken" : v === 0 ? "zero" : "";
          return [el("rect", { class: `square ${kind}`, x, y: yy - 7, width: 20, height: 14, rx: 3, "fill-opacity": kind ? 1 : shade.toFixed(2) }),
            text(x + 26, yy + 4, v === null ? "" : short(v), "number", "start"),
            ...(narrow && c === 0 ? [text(x - 6, yy + 4, name, "quiet", "end")] : [])];
        });
        group(item, el("rect", { class: "hit", x: 2, y: yy - 10, width: wide - 8, height: 20 }), ...own, ...steps);
      });
    }
  }
  let high = count * lineH;
  if (params.length && strip) {  // one column a step
    const w = Math.max(2, Math.min(26, (wide - 160) / run.steps));
    svg.append(text(6, high + 10, "parameter: total, and a column for each step’s share", "quiet", "start"));
    params.forEach((p, k) => {
      const yy = high + 22 + k * 18;
      const item = { key: `p${p.id}_0`, kind: "param", says: `${p.name}: gradient norm ${short(p.total)}` };
      group(item, el("rect", { class: "hit", x: 2, y: yy - 2, width: wide - 8, height: 18 }), text(6, yy + 12, cut(p.name.replace(/^cell\./, ""), 11), "", "start"), text(140, yy + 12, short(p.total), "quiet", "end"),
        ...p.parts.map((v, t) => el("rect", { class: `square ${v === null ? "unused" : v === 0 ? "zero" : Number.isFinite(v) ? "" : "broken"}`, x: 150 + t * w, y: yy + 1, width: Math.max(1, w - 1), height: 14, "fill-opacity": v > 0 && Number.isFinite(v) ? Math.max(0.08, scale.of(v)).toFixed(2) : 1 },
          el("title", {}, `${p.name}, step ${t + 1}: ${short(v)}`))));
    });
    high += 30 + params.length * 18;
  }
  const key = [];
  const seed = run.seeds.find((s) => made.back && s.id === made.back.seed.id && s.index === made.back.seed.index);
  if (made.back) {
    const low = Math.ceil(scale.low - 1e-9), decades = [scale.high, (scale.high + scale.low) / 2, scale.low];
    let x = 6;
    key.push(text(x, high + 18, `‖∂${seed ? seed.label : "L"}/∂·‖`, "", "start"));
    x += 30 + 8 * (seed ? seed.label.length + 6 : 7);
    for (const d of decades) {
      key.push(ribbon(x + 34, high + 14, x, high + 14, 10 ** d, scale), text(x + 40, high + 18, short(10 ** d), "quiet", "start"));
      x += 104;
    }
    if (!narrow) key.push(ribbon(x + 34, high + 14, x, high + 14, 0, scale), text(x + 40, high + 18, "exactly 0; no ribbon: no path", "quiet", "start"));
  }
  high += 30;
  svg.append(el("g", { class: "key" }, ...key));
  const all = el("svg", { viewBox: `0 0 ${wide} ${high}`, width: wide, height: high, class: "picture", role: "graphics-document", "aria-roledescription": "unfolded graph",
    "aria-label": `${run.units.map((u) => u.name).join(", ")} over ${run.steps} steps${seed ? `, and the gradient of ${seed.label}` : ""}` }, svg);
  return { svg: all, groups, where, wide, high };
};

// Curves by step on a logarithmic axis: [{name, kind, values}].
const curves = (lines, words, wide, label) => {
  const high = 260, left = 62, right = 14, top = 34, bottom = 44;
  const seen = lines.flatMap((l) => l.values).filter((v) => v > 0 && Number.isFinite(v)).map(Math.log10);
  if (!seen.length) return el("svg", { viewBox: `0 0 ${wide} 40`, width: wide, height: 40 }, text(8, 24, "There is no gradient to draw.", "quiet", "start"));
  let [low, up] = [Math.floor(Math.min(...seen)), Math.ceil(Math.max(...seen))];
  if (low === up) up += 1;
  const n = words.length, X = (t) => left + ((t + 0.5) / n) * (wide - left - right);
  const Y = (v) => top + ((up - Math.log10(v)) / (up - low)) * (high - top - bottom);
  const parts = [];
  const every = Math.ceil((up - low) / 6);
  for (let d = low; d <= up; d += every) {
    parts.push(el("path", { class: "grid", d: `M${left} ${Y(10 ** d)}H${wide - right}` }), text(left - 8, Y(10 ** d) + 4, short(10 ** d), "quiet", "end"));
  }
  const stride = Math.ceil((n * 62) / (wide - left - right));
  words.forEach((w, t) => { if (t % stride === 0) parts.push(text(X(t), high - 24, cut(w || String(t + 1), 8), "quiet"), text(X(t), high - 9, String(t + 1), "quiet")); });
  lines.forEach(({ name, kind, values }, k) => {
    let d = "", pen = "M";
    values.forEach((v, t) => {
      if (v > 0 && Number.isFinite(v)) { d += `${pen}${X(t).toFixed(1)} ${Y(v).toFixed(1)}`; pen = "L"; } else pen = "M";
    });
    parts.push(el("path", { class: `curve ${kind}`, d }, el("title", {}, name)));
    if (n <= 40) values.forEach((v, t) => { if (v > 0 && Number.isFinite(v)) parts.push(el("circle", { class: `dot ${kind}`, cx: X(t), cy: Y(v), r: 2.8 }, el("title", {}, `${name}, step ${t + 1}: ${short(v)}`))); });
    const x = left + k * Math.min(210, (wide - left) / lines.length);
    parts.push(el("path", { class: `curve ${kind}`, d: `M${x} 14h24` }), text(x + 30, 18, cut(name, Math.max(6, Math.floor((Math.min(210, (wide - left) / lines.length) - 34) / 7))), "", "start"));
  });
  return el("svg", { viewBox: `0 0 ${wide} ${high}`, width: wide, height: high, class: "picture", role: "img", "aria-label": label }, ...parts);
};
