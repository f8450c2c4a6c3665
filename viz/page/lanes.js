// The picture of sequences: steps in columns that wrap into lines, states in lanes.

// Inputs that nets above read themselves pass the nets below on their left: each way has a track of
// its own there, and beside other inputs a box of its own.  inputsAt: the boxes of a column, in
// order; tracks: the number of an arrow's track; ways: of all; aside: how far a level stands left.
const tracksOf = ({ run, boxes, arrows }) => {
  const levelAt = (key) => run.units[key.slice(1).split("_")[0]].level;
  const top = Math.max(...run.units.map((u) => u.level)), most = Array(top + 1).fill(0);
  const inputsAt = new Map(), tracks = new Map(), into = (box) => arrows.filter((a) => a.kind === "in" && a.a === box.key);
  for (const box of boxes) if (box.kind === "input") inputsAt.set(box.step, [...(inputsAt.get(box.step) ?? []), box]);
  for (const here of inputsAt.values()) {
    const counts = Array(top + 1).fill(0);
    const far = here.flatMap((box) => into(box).filter((a) => levelAt(a.b) > 0).map((a) => [box, a]));
    for (const [box, a] of far.sort(([, a], [, b]) => levelAt(a.b) - levelAt(b.b))) {
      tracks.set(a, counts[levelAt(a.b)]++);
      if (here.length === 1 || into(box).length === 1) continue;
      a.a = `${box.key}_${levelAt(a.b)}`;
      here.push({ ...box, key: a.a, order: here.length });
      boxes.push(here.at(-1));
    }
    counts.forEach((n, level) => { most[level] = Math.max(most[level], n); });
    const place = (box) => { const [a] = into(box); return tracks.has(a) ? 100 * levelAt(a.b) + tracks.get(a) : 0; };
    here.sort((a, b) => place(a) - place(b) || a.order - b.order).forEach((box, k) => { box.order = k; });
  }
  const before = most.map((_, l) => most.slice(0, l).reduce((a, b) => a + b, 0)), ways = before[top] + most[top];
  tracks.forEach((n, a) => tracks.set(a, before[levelAt(a.b)] + n));
  const aside = ways ? Math.max(24, ...most.map((n, l) => (l ? (2 + 22 * (before[l] + n)) / l : 0))) : 0;
  return { levelAt, top, inputsAt, tracks, ways, aside };
};

// The picture as SVG. wide: pixels there are; marks: {now: Set of keys}.
const drawn = (made, wide, marks = {}) => {
  const { run, boxes, arrows, params } = made;
  const { levelAt, top, inputsAt, tracks, ways, aside } = tracksOf(made);
  const crowded = [...inputsAt.values()].some((here) => here.length > 1);
  const narrow = wide < 640, cellW = narrow ? 50 : 62, gap = ways > 1 || (ways && crowded) ? 58 + 22 * ways : narrow ? 56 : 66, wider = Math.max(0, aside - 24);
  // The steps that have a column; -1 stands for those between, which are folded.
  const middle = marks.fold && run.steps > 7;
  const shown = times(middle ? 7 : run.steps, (_, k) => (
    !middle || k < 3 ? k : k === 3 ? -1 : run.steps - 7 + k));
  const column = new Map(shown.map((t, k) => [t, k]));
  const strip = shown.length > 14, names = narrow ? 0 : Math.min(60, Math.max(0, ...params.map((p) => 7 * (p.label.length - 11)))), left = narrow ? 16 : 158 + names;
  const colW = cellW + gap, columns = Math.max(1, Math.floor((wide - left - (crowded ? 60 : 34)) / colW));
  const ledger = params.length && !strip;
  const lanes = run.units.map((_, u) => [...new Set(arrows.filter((a) => a.kind === "state" && a.b.startsWith(`c${u}_`)).map((a) => a.name))]);
  // A state that begins with what another step gave goes on in its lane.
  const joins = new Map();
  for (const a of arrows.filter((a) => a.kind === "join")) {
    if (!joins.has(a.b)) joins.set(a.b, []);
    const taken = joins.get(a.b), own = lanes[a.b.slice(1).split("_")[0]].findIndex((name) => a.name.startsWith(name));
    let lane = Math.max(0, own);
    while (taken.some((b) => b.lane === lane)) lane += 1;
    taken.push({ a, lane });
  }
  const laneOf = new Map([...joins.values()].flat().map(({ a, lane }) => [a, lane]));
  const wanted = run.units.map((_, u) => Math.max(lanes[u].length, ...arrows.map((a) => (a.b.startsWith(`c${u}_`) && laneOf.has(a) ? laneOf.get(a) + 1 : 0))));
  const levels = top + 1;
  const cellH = times(levels, (_, l) => Math.max(44, ...run.units.map(({ level }, u) => (level === l ? 44 * wanted[u] + 8 : 0))));
  const levelOf = (box) => run.units[box.at ?? run.units.length - 1].level;
  const step = 21;
  // Lines, each as high as what stands in it: {cellY, inputY, ledgerY, params}; parameters that no
  // step reads stand in the last.
  const lines = [];
  let high = 0;
  for (let k = 0; k < shown.length; k += columns) {
    const steps = new Set(shown.slice(k, k + columns)), here = boxes.filter((b) => steps.has(column.has(b.step) ? b.step : -1));
    const cellY = [];
    let y = high + 8;
    for (let l = levels - 1; l >= 0; l--) {
      if (!here.some((b) => b.kind === "cell" && b.level === l)) continue;
      if (here.some((b) => b.kind === "loss" && levelOf(b) === l)) y += 82;
      cellY[l] = y;
      y += cellH[l] + 44;
    }
    const inputs = Math.max(1, ...here.filter((b) => b.kind === "input").map((b) => b.order + 1));
    const read = ledger ? params.filter((p) => (p.where.size ? [...p.where].some((t) => steps.has(column.has(t) ? t : -1)) : k + columns >= shown.length)) : [];
    lines.push({ cellY, inputY: y, ledgerY: y + 30 * inputs + 22, params: read });
    high = y + 30 * inputs + 22 + (ledger ? step * read.length + 26 : 0);
  }
  const scale = marks.scale ?? scaleOf(normsOf(made));
  const place = (t) => {
    const k = column.get(t) ?? column.get(-1);
    return { x: left + (k % columns) * colW + gap, ...lines[Math.floor(k / columns)], folded: !column.has(t) };
  };
  const svg = el("g"), where = new Map(), groups = new Map();
  const group = (item, ...children) => {
    const kinds = ["item", item.kind, item.left ? "left" : "", item.chosen ? "chosen" : "", marks.now?.has(item.key) ? "now" : ""];
    const made = el("g", { class: kinds.filter(Boolean).join(" "), "data-key": item.key, tabindex: -1, role: "graphics-symbol", "aria-label": item.says },
      el("title", {}, item.says), ...children);
    groups.set(item.key, made);
    svg.append(made);
  };
  for (const box of boxes) {
    const at = place(box.step), cx = at.x + cellW / 2;
    if (at.folded && box.kind !== "cell") continue;
    if (box.kind === "cell") where.set(box.key, { x: at.x - aside * box.level, y: at.cellY[box.level], w: cellW + wider * box.level, h: cellH[box.level] });
    else if (box.kind === "input") {  // stairs, so that each arrow starts beside those above
      const here = inputsAt.get(box.step), many = here.length, own = arrows.filter((a) => a.a === box.key && tracks.has(a)).map((a) => tracks.get(a));
      const near = here.filter((b) => !arrows.some((a) => a.a === b.key && tracks.has(a))).length;
      const x = own.length ? at.x - 24 - 22 * Math.max(...own) : many > 1 ? at.x - 2 + Math.min(18, 54 / Math.max(1, near - 1)) * (near - 1 - box.order) : at.x - 12;
      where.set(box.key, { x, y: at.inputY + 30 * box.order, w: at.x + cellW + 12 - x, h: 25, many });
    }
    else where.set(box.key, { x: cx - (cellW + 18) / 2 + (aside ? 9 - aside * levelOf(box) : 0), y: at.cellY[levelOf(box)] - 82, w: cellW + (aside ? 0 : 18), h: 38 });
  }
  // What passes the nets below is drawn first, so that their numbers stand over it.
  arrows.map((a, n) => [a, n]).sort(([a], [b]) => tracks.has(b) - tracks.has(a)).forEach(([a, n]) => {
    const A = where.get(a.a), B = where.get(a.b), parts = [];
    if (!A || !B || (A.x === B.x && A.y === B.y)) return;
    let label = null;
    if (a.kind === "state" || a.kind === "join") {
      const unit = Number(a.b.slice(1).split("_")[0]), lane = laneOf.get(a) ?? lanes[unit].indexOf(a.name);
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
          const from = Math.max(4, B.x - gap + 8);
          draw(from, B.x - 1, B.y + y0);
          parts.push(el("path", { class: "value", d: `M${A.x + A.w + 1} ${A.y + y0 - 7}h12` }), text(A.x + A.w + 24, A.y + y0 - 2, "…", "quiet"));
          label = [(from + B.x) / 2, B.y + y0 + 21];
        } else {
          draw(B.x + B.w + gap - 8, B.x + B.w + 1, B.y + y0);
          label = [B.x + B.w + gap / 2, B.y + y0 + 21];
        }
      }
    } else {
      const up = a.kind === "in" ? [A.y, B.y + B.h] : [A.y, B.y + B.h];
      const level = a.b.startsWith("c") ? levelAt(a.b) : 0;
      const far = tracks.has(a), stairs = a.kind === "in" && A.many > 1, over = far ? 9 : stairs ? 6 : 17;
      const x = far ? B.x + aside * level - 18 - 22 * tracks.get(a) : stairs ? A.x + 3 : a.kind === "up" ? (Math.max(A.x, B.x) + Math.min(A.x + A.w, B.x + B.w)) / 2 - 10 : B.x + B.w / 2 - 10;
      parts.push(thin(x, up[0] - 1, x, up[1] + 1));
      if (a.norm !== null) parts.push(ribbon(x + over, up[1] + 2, x + over, up[0] - 2, a.norm, scale));
      label = stairs ? [A.x + A.w + 3, A.y + 17, "start"] : [x + over + 11, far ? up[1] + 18 : up[0] - (a.kind === "in" ? 14 : 16), "start"];
    }
    if (a.norm !== null) parts.push(text(label[0], label[1], short(a.norm), `number${a.norm === 0 ? " zero" : ""}`, label[2] ?? "middle"));
    const says = `${a.name} ${a.kind === "state" ? "to the next step" : a.kind === "join" ? "to the step that begins with it" : ""}: ${a.norm === null ? "no gradient passes" : `gradient norm ${short(a.norm)}`}`;
    const key = `a${n}`;
    const item = el("g", { class: `arrow ${a.kind}${marks.now?.has(a.a) && marks.now?.has(a.b) ? " now" : ""}`, "data-key": key, "data-from": a.a, "data-to": a.b }, el("title", {}, says), ...parts);
    svg.append(item);
  });
  if (middle) cellH.forEach((h, level) => {
    const folded = boxes.filter((b) => b.kind === "cell" && b.level === level && !column.has(b.step));
    if (!folded.length) return;
    const { x, y: top } = where.get(folded[0].key), [a, b] = [folded[0], folded.at(-1)].map((box) => box.own + 1);
    const one = folded.every((box) => box.unit === folded[0].unit), what = one ? `${a} … ${b}` : `${folded.length} steps`;
    group({ key: `fold${level}`, kind: "cell", left: true, says: one ? `steps ${a} to ${b} are folded` : `${what} are folded` }, el("rect", { x, y: top, width: cellW, height: h, rx: 10 }),
      text(x + cellW / 2, top + h / 2 - 3, what, "quiet"), text(x + cellW / 2, top + h / 2 + 12, "folded", "quiet"));
  });
  for (const box of boxes) {
    if (!column.has(box.step)) continue;
    const { x, y: top, w, h } = where.get(box.key), cx = x + w / 2;
    if (box.kind === "cell") {
      const names = lanes[box.unit];
      group(box, el("rect", { x, y: top, width: w, height: h, rx: 10 }),
        ...(run.units.length > 1 ? [...run.units[box.unit].lines.map(([y, line]) => text(cx, top + h / 2 + y, fit(line, w - 4), "quiet")), text(cx, top + h / 2 + run.units[box.unit].low, box.label)]
          : [text(cx, top + h / 2 + 4, box.label, box.left ? "quiet" : "")]),
        ...(names.length > 1 ? names.map((n, k) => text(cx, top + (k === 0 ? 15 : h - 6), cut(n + sub(box.own + 1), 8), "quiet")) : []));
    } else if (box.kind === "input") {
      group(box, el("rect", { x, y: top, width: w, height: h, rx: 7 }), text(cx, top + 17, fit(box.label, w - 4)));
    } else {
      group(box, el("rect", { x, y: top, width: w, height: h, rx: 9 }), text(cx, top + 16, fit(box.label, w - 4), "strong"), text(cx, top + 31, box.detail));
    }
  }
  if (ledger) {
    const most = Math.max(...params.map((p) => p.sum).filter(finite), 1e-300);
    for (let line = 0; line < lines.length; line++) {
      const top = lines[line].ledgerY;
      if (line === 0 && !narrow) svg.append(text(6, top - 6, "parameter: total, and each step’s share", "quiet", "start"));
      lines[line].params.forEach((p, k) => {
        const yy = top + k * step + 12;
        const item = { key: `p${p.id}_${line}`, kind: "param", says: `${p.name}: gradient norm ${short(p.total)}; the norms of the ${p.apart ? "parts" : "steps’ parts"} sum to ${short(p.sum)}${p.apart ? `, ${short(p.apart)} of them outside of the steps` : ""}` };
        const bar = (v) => (v > 0 && finite(v) ? Math.max(1, 34 * (v / most)) : 0);
        const ends = p.name.split("."), alone = params.every((q) => q === p || q.name.split(".").at(-1) !== ends.at(-1));
        const name = narrow ? cut(ends.slice(alone ? -1 : -2).join("."), 6) : cut(p.label, 11 + Math.floor(names / 7));
        const own = narrow ? [] : [text(6, yy + 4, name, "", "start"),
          el("rect", { class: "bar all", x: 82 + names, y: yy - 5, width: bar(p.sum), height: 10 }),
          el("rect", { class: "bar", x: 82 + names, y: yy - 5, width: bar(p.total), height: 10 }),
          text(158 + names, yy + 4, short(p.total), "quiet", "end")];
        const here = shown.slice(line * columns, (line + 1) * columns), named = here.find((t) => p.where.has(t));
        const steps = here.flatMap((t, c) => {
          if (t < 0 || !p.where.has(t)) return [];
          const v = p.parts[t], x = left + c * colW + gap - 12;
          const shade = v > 0 && finite(v) ? Math.max(0.08, scale.of(v)) : 0;
          const kind = v === null ? "unused" : !finite(v) ? "broken" : v === 0 ? "zero" : "";
          return [el("rect", { class: `square ${kind}`, x, y: yy - 7, width: 20, height: 14, rx: 3, "fill-opacity": kind ? 1 : shade.toFixed(2) }),
            text(x + 26, yy + 4, v === null ? "" : short(v), "number", "start"),
            ...(narrow && t === named ? [text(x - 6, yy + 4, name, "quiet", "end")] : [])];
        });
        group(item, el("rect", { class: "hit", x: 2, y: yy - 10, width: wide - 8, height: 20 }), ...own, ...steps);
      });
    }
  }
  if (made.reads.length) high = matrices(made, svg, group, wide, high, scale);
  if (params.length && strip) high = strips(made, svg, group, wide, high, scale);
  high = legend(made, svg, wide, high, scale);
  const seed = seedOf(made);
  const all = el("svg", { viewBox: `0 0 ${wide} ${high}`, width: wide, height: high, class: "picture", role: "graphics-document", "aria-roledescription": "unfolded graph",
    "aria-label": `${run.units.map((u) => u.name).join(", ")} over ${run.steps} steps${seed ? `, and the gradient of ${seed.label}` : ""}` }, svg);
  return { svg: all, groups, where, wide, high };
};
