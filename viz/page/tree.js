// The picture of a tree or a grid: each node at its place, its input under it, the gradient as a
// ribbon beside every edge.

const drawnAt = (spots) => (made, wide, marks = {}) => {
  const { run, boxes, arrows, params } = made;
  const columns = 1 + Math.max(...spots.map(([x]) => x)), levels = 1 + Math.max(...spots.map(([, y]) => y));
  const cellW = 74, cellH = 46, fed = new Set(arrows.filter((a) => a.kind === "state").map((a) => a.b));
  // Where nodes with others below them read an input too, it stands aside.
  const aside = arrows.some((a) => a.kind === "in" && fed.has(a.b)), colW = aside ? 190 : 128, rowH = aside ? 164 : 150, losses = boxes.filter((b) => b.kind === "loss").length > 0;
  const across = Math.max(wide, 40 + columns * colW + 60), left = (aside ? 70 : 24) + (across - 60 - columns * colW) / 2, top = losses ? 70 : 14;
  const svg = el("g"), where = new Map(), groups = new Map(), scale = marks.scale ?? scaleOf(normsOf(made));
  const group = (item, ...children) => {
    const kinds = ["item", item.kind, item.chosen ? "chosen" : "", marks.now?.has(item.key) ? "now" : ""];
    const g = el("g", { class: kinds.filter(Boolean).join(" "), "data-key": item.key, tabindex: -1, role: "graphics-symbol", "aria-label": item.says }, el("title", {}, item.says), ...children);
    groups.set(item.key, g);
    svg.append(g);
  };
  const at = (step) => ({ x: left + spots[step][0] * colW, y: top + spots[step][1] * rowH });
  for (const box of boxes) {
    const { x, y } = at(box.step);
    if (box.kind === "cell") where.set(box.key, { x, y, w: cellW, h: cellH });
    else if (box.kind === "input") where.set(box.key, { x: aside ? x - 66 : x, y: y + cellH + (aside ? 22 : 34) + 28 * box.order, w: aside ? 62 : cellW, h: 24 });
    else where.set(box.key, aside ? { x: x + cellW + 14, y: y - 56, w: 70, h: 38 } : { x: x + 2, y: y - 66, w: 70, h: 38 });
  }
  // From the edge of one box to that of the other, along the line between their middles.
  const ends = (A, B) => {
    const [x1, y1, x2, y2] = [A.x + A.w / 2, A.y + A.h / 2, B.x + B.w / 2, B.y + B.h / 2];
    const out = (box, dx, dy) => Math.min(box.w / 2 / Math.max(1e-9, Math.abs(dx)), box.h / 2 / Math.max(1e-9, Math.abs(dy)));
    const a = out(A, x2 - x1, y2 - y1), b = 1 - out(B, x2 - x1, y2 - y1);
    return [x1 + a * (x2 - x1), y1 + a * (y2 - y1), x1 + b * (x2 - x1), y1 + b * (y2 - y1)];
  };
  const beside = new Map();
  arrows.forEach((a) => { const key = a.a + a.b; beside.set(key, [...(beside.get(key) ?? []), a]); });
  const numbers = [];
  arrows.forEach((a, n) => {
    const A = where.get(a.a), B = where.get(a.b);
    if (!A || !B) return;
    const [x1, y1, x2, y2] = ends(A, B), long = Math.hypot(x2 - x1, y2 - y1);
    const lane = beside.get(a.a + a.b), k = lane.indexOf(a), off = 20 * (k - (lane.length - 1) / 2);
    const parts = [thin(1, off - 6, long - 1, off - 6)];
    if (a.norm !== null) parts.push(ribbon(long - 2, off + 4, 2, off + 4, a.norm, scale));
    const turned = el("g", { transform: `translate(${x1.toFixed(1)} ${y1.toFixed(1)}) rotate(${((Math.atan2(y2 - y1, x2 - x1) * 180) / Math.PI).toFixed(2)})` }, ...parts);
    const [ux, uy] = [(x2 - x1) / long, (y2 - y1) / long], mid = long * (lane.length > 1 ? 0.36 + (0.28 * k) / (lane.length - 1) : 0.5);
    const number = a.norm === null ? "" : text(x1 + ux * mid - uy * (off + 4), y1 + uy * mid + ux * (off + 4) + 4, short(a.norm), `number on${a.norm === 0 ? " zero" : ""}`);
    const says = `${a.name}: ${a.norm === null ? "no gradient passes" : `gradient norm ${short(a.norm)}`}`;
    svg.append(el("g", { class: `arrow ${a.kind}${marks.now?.has(a.a) && marks.now?.has(a.b) ? " now" : ""}`, "data-key": `a${n}`, "data-from": a.a, "data-to": a.b }, el("title", {}, says), turned));
    if (number) numbers.push(number);
  });
  svg.append(...numbers);
  for (const box of boxes) {
    const { x, y, w, h } = where.get(box.key), cx = x + w / 2;
    const lines = box.kind === "cell" ? [[18, "", cut(run.words[box.step] || run.units[box.unit].name, 10)], [35, "quiet", String(box.step + 1)]]
      : box.kind === "input" ? [[16, "", cut(box.label, 9)]] : [[16, "strong", box.label], [31, "", box.detail]];
    group(box, el("rect", { x, y, width: w, height: h, rx: box.kind === "input" ? 7 : 10 }), ...lines.map(([dy, kind, words]) => text(cx, y + dy, words, kind)));
  }
  const deep = Math.max(...[...where.values()].map((b) => b.y + b.h));
  let high = deep + 26;
  if (params.length) high = strips(made, svg, group, across, high, scale);
  high = legend(made, svg, across, high, scale);
  const all = el("svg", { viewBox: `0 0 ${across} ${high}`, width: across, height: high, class: "picture", role: "graphics-document", "aria-roledescription": "unfolded graph",
    "aria-label": `${run.units.map((u) => u.name).join(", ")} over ${run.steps} nodes` }, svg);
  return { svg: all, groups, where, wide: across, high };
};
