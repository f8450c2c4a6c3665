// The panel around the pictures: what can be changed, the walk back, what is lit, the numbers.

const on = (target, names, act) => names.split(" ").forEach((name) => target.addEventListener(name, act));
const html = (tag, attributes = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [k, v] of Object.entries(attributes)) {
    if (k.startsWith("on")) on(made, k.slice(2), v);
    else if (v !== null && v !== undefined && v !== false) made.setAttribute(k, v === true ? "" : v);
  }
  made.append(...children.flat().filter((c) => c !== null && c !== undefined));
  return made;
};
const labelled = (words, control) => html("label", {}, html("span", {}, words), control);
const button = (words, says, act) => html("button", { type: "button", "aria-label": says, title: says, onclick: act }, words);
const replace = (old, made) => { old.replaceWith(made); return made; };

class Panel {
  // mode: {runs(), edits: [element], reset(), table(runs, backs), chosen}
  constructor(root, mode) {
    Object.assign(this, { root, mode, seed: mode.chosen, until: Infinity, zoom: 1, lit: null, focus: null, found: "" });
    this.bar = html("div", { class: "bar" });
    this.search = html("input", { type: "search", placeholder: "name, word or op", oninput: () => this.seek() });
    this.count = html("span", { class: "quiet", role: "status" });
    this.loss = html("select", { onchange: () => { this.seed = Number(this.loss.value); this.until = Infinity; this.update(); } });
    this.bar.append(labelled("gradient of", this.loss), ...mode.edits,
      html("span", { class: "group" }, labelled("find", this.search), this.count),
      html("span", { class: "group" }, button("−", "smaller", () => this.scale(1 / 1.25)), button("fit", "fit to the width", () => this.scale(0)), button("+", "larger", () => this.scale(1.25))),
      mode.drawn ? "" : this.folder = button("fold", "leave out the steps between the first and last three", () => {
        this.fold = !this.fold;
        this.folder.textContent = this.fold ? "unfold" : "fold";
        this.draw();
      }),
      button("reset", "everything as it was", () => { mode.reset(); this.seed = mode.chosen; this.until = Infinity; this.update(); }));
    this.pictures = html("div", { class: "pictures" });
    this.range = html("input", { type: "range", min: 0, "aria-label": "place in the backward pass", oninput: () => this.walk(Number(this.range.value)) });
    this.says = html("output", { class: "event", "aria-live": "polite" });
    this.player = button("▶︎", "play the backward pass", () => this.play());
    this.steps = html("div", { class: "scrub", role: "group", "aria-label": "the backward pass, event by event" },
      button("|◂", "before the backward pass", () => this.walk(0)), button("◂", "one event back", () => this.walk(this.at() - 1)),
      this.player, button("▸", "one event on", () => this.walk(this.at() + 1)), button("▸|", "after the backward pass", () => this.walk(this.last())), this.range);
    this.inside = html("details", { class: "inside" }, html("summary", {}, "Inside the step"), html("div"));
    on(this.inside, "toggle", () => this.showInside());
    const kept = document.querySelector("[data-numbers]");
    this.numbers = kept ?? html("div", { class: "numbers" });
    this.error = html("p", { class: "error", role: "alert" });
    root.replaceChildren(this.bar, mode.words ?? "", this.error, this.pictures, this.steps, this.says, this.inside, mode.weights ?? "", mode.more ?? "", kept ? "" : this.numbers);
    let wide = 0;
    new ResizeObserver(() => { const w = this.wide(); if (w !== wide) { wide = w; this.draw(); } }).observe(root);
    on(matchMedia("print"), "change", () => this.draw());
    this.update();
  }

  wide() { return Math.max(300, Math.floor(this.root.clientWidth)); }

  // Both passes of what is shown, again.
  update() {
    this.error.textContent = "";
    this.stop();
    try {
      this.compute();
    } catch (error) {
      this.error.textContent = `This cannot be computed (${error.message}): “reset” goes back.`;
      return;
    }
    this.draw();
    this.mode.table?.(this);
  }

  compute() {
    const began = performance.now();
    this.runs = this.mode.runs();
    this.seed = Math.min(this.seed, this.runs[0].seeds.length - 1);
    this.loss.replaceChildren(...this.runs[0].seeds.map((s, k) => html("option", { value: k, selected: k === this.seed }, s.label)));
    this.backs = this.runs.map((run) => {
      run.tape.forward();
      const { id, index } = run.seeds[this.seed];
      return run.tape.backward(id, index);
    });
    this.scaled = scaleOf(this.runs.flatMap((run, k) => normsOf(scene(run, this.backs[k]))));
    this.took = performance.now() - began;
  }

  last() { return this.backs[0].events.length; }

  at() { return Math.min(this.until, this.last()); }

  // Wide pictures are drawn for the width there is; each keeps what is focused and lit.
  draw() {
    if (!this.backs) return;
    const print = matchMedia("print").matches;
    const wide = print ? 760 : Math.floor(this.wide() / this.zoom);
    const had = this.pictures.contains(document.activeElement) ? this.focus : null;
    this.shown = this.runs.map((run, k) => {
      const event = k === 0 && this.until < this.last() ? this.backs[0].events[this.at() - 1] : null;
      const until = k === 0 ? this.at() : Math.round((this.at() / this.last()) * this.backs[k].events.length);
      const made = scene(run, this.backs[k], until);
      const now = new Set(event ? [event.node, event.to].map((id) => made.owner.get(id)).filter(Boolean) : []);
      return { made, event, ...(this.mode.drawn ?? drawn)(made, wide, { now, scale: this.scaled, fold: this.fold }) };
    });
    this.pictures.replaceChildren(...this.shown.map((shown, k) => {
      shown.svg.style.width = `${shown.wide * this.zoom}px`;
      shown.svg.style.height = `${shown.high * this.zoom}px`;
      on(shown.svg, "keydown", (e) => this.move(e, k));
      for (const [key, group] of shown.groups) {
        on(group, "mouseenter", () => this.light(k, key));
        on(group, "mouseleave", () => this.light(k, this.pinned(k)));
        on(group, "focus", () => { this.focus = [k, key]; this.light(k, key); this.showInside(); });
        on(group, "blur", () => this.light(k, null));
        on(group, "click", () => { group.focus(); this.choose(k, key); });
      }
      const first = shown.groups.get(this.focus?.[0] === k ? this.focus[1] : "") ?? shown.groups.values().next().value;
      first?.setAttribute("tabindex", 0);
      const name = this.runs.length > 1 ? html("h3", {}, this.mode.caption(k)) : "";
      return html("div", { class: "sheet" }, name, html("div", { class: "scroll" }, shown.svg));
    }));
    if (had) this.shown[had[0]]?.groups.get(had[1])?.focus({ preventScroll: true });
    this.range.max = this.last();
    this.range.value = this.at();
    this.says.replaceChildren(...this.tell());
    this.seek();
    this.showInside();
  }

  pinned(k) { return this.focus && this.focus[0] === k && document.activeElement?.dataset?.key === this.focus[1] ? this.focus[1] : null; }

  // A loss that is clicked is the one that the gradient is of.
  choose(k, key) {
    const box = this.shown[k].made.boxes.find((b) => b.key === key);
    if (box?.kind === "loss" && box.seed !== undefined) { this.seed = box.seed; this.until = Infinity; this.update(); }
    else if (box?.kind === "input") this.mode.edit?.(box.step);
  }

  // What a node depends on, and what depends on it.
  light(k, key) {
    const { made, svg, groups } = this.shown[k];
    this.lit = key;
    svg.classList.toggle("lit", key !== null);
    if (key === null) return;
    const box = made.boxes.find((b) => b.key === key);
    const ids = box ? box.ids : [Number(key.slice(1).split("_")[0])];
    const tape = made.run.tape, before = tape.reach(ids, true), after = tape.reach(ids, false);
    for (const [name, group] of groups) {
      const item = made.boxes.find((b) => b.key === name);
      const own = item ? item.ids : [Number(name.slice(1).split("_")[0])];
      const up = own.some((id) => before.has(id)), down = own.some((id) => after.has(id));
      group.classList.toggle("self", name === key);
      group.classList.toggle("before", up && name !== key);
      group.classList.toggle("after", down && name !== key);
    }
    svg.querySelectorAll(".arrow").forEach((arrow) => {
      const [a, b] = [groups.get(arrow.dataset.from), groups.get(arrow.dataset.to)];
      const has = (g, kind) => g?.classList.contains(kind) || g?.classList.contains("self");
      arrow.classList.toggle("before", has(a, "before") && has(b, "before"));
      arrow.classList.toggle("after", has(a, "after") && has(b, "after"));
    });
  }

  // Arrow keys go from node to node in the picture.
  move(e, k) {
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[e.key] ?? [0, 0];
    const { groups, where } = this.shown[k], key = document.activeElement?.dataset?.key;
    if (e.key === "Enter" || e.key === " ") { this.inside.open = true; this.choose(k, key); e.preventDefault(); return; }
    if (e.key === "Escape") { document.activeElement.blur(); return; }
    if (!dx && !dy) return;
    e.preventDefault();
    const centre = (g) => { const b = g.getBBox(); return [b.x + b.width / 2, b.y + b.height / 2]; };
    const [x, y] = where.has(key) ? centre(groups.get(key).querySelector("rect")) : centre(groups.get(key));
    let best = null, least = Infinity;
    for (const [name, group] of groups) {
      if (name === key) continue;
      const [u, v] = centre(group.querySelector("rect"));
      const along = (u - x) * dx + (v - y) * dy, across = Math.abs((u - x) * dy) + Math.abs((v - y) * dx);
      if (along > 4 && along + 3 * across < least) { least = along + 3 * across; best = group; }
    }
    if (best) {
      groups.forEach((g) => g.setAttribute("tabindex", -1));
      best.setAttribute("tabindex", 0);
      best.focus();
    }
  }

  scale(by) { this.zoom = by ? Math.min(3, Math.max(0.4, this.zoom * by)) : 1; this.draw(); }

  seek() {
    const asked = this.search.value.trim().toLowerCase();
    let hits = 0;
    this.shown?.forEach(({ made, groups }) => groups.forEach((group, key) => {
      const box = made.boxes.find((b) => b.key === key);
      const texts = [group.getAttribute("aria-label"), ...(box?.kind === "cell" ? box.call.cell.lines.flatMap((l) => [l[2], l[3]]) : [])];
      const hit = asked !== "" && texts.some((t) => t?.toLowerCase().includes(asked));
      group.classList.toggle("hit-by-search", hit);
      hits += hit;
    }));
    this.count.textContent = asked ? `${hits} found` : "";
    if (hits && asked !== this.found) this.pictures.querySelector(".hit-by-search")?.scrollIntoView({ block: "nearest" });
    this.found = asked;
  }

  // -- the walk back -------------------------------------------------------------------------------

  walk(to) {
    this.until = Math.min(this.last(), Math.max(0, to));
    const event = this.backs[0].events[this.until - 1];
    const place = event && this.runs[0].tape.nodes[event.node].place;
    if (place?.unit >= 0 && this.until < this.last()) this.focus = [0, `c${place.unit}_${place.step}`];
    this.draw();
    if (this.until === this.last()) this.stop();
  }

  play() {
    if (this.timer) { this.stop(); return; }
    if (this.at() === this.last()) this.walk(0);
    this.player.textContent = "❚❚";
    const pace = Math.max(30, Math.min(250, 20000 / this.last()));
    this.timer = setInterval(() => this.walk(this.at() + 1), pace);
  }

  stop() { clearInterval(this.timer); this.timer = null; this.player.textContent = "▶︎"; }

  name(id) {
    const node = this.runs[0].tape.nodes[id], unit = this.runs[0].units[node.place?.unit];
    const step = node.place && node.place.step - (unit?.start ?? 0);
    return (node.name || node.formula || "a node") + (step !== undefined && node.name ? sub(step + 1) : step !== undefined ? ` at step ${step + 1}` : "");
  }

  tell() {
    const at = this.at(), last = this.last(), event = this.backs[0].events[at - 1];
    const where = html("span", { class: "quiet" }, `event ${at} of ${last} `);
    const seed = this.runs[0].seeds[this.seed].label;
    if (at === 0) return [where, "Nothing has flowed back yet. The forward pass is done."];
    if (at === last) return [where, `The backward pass of ${seed} is done: ${this.backs[0].events.filter((e) => e.kind === "vjp").length} vector-Jacobian products, ${this.backs[0].events.filter((e) => e.kind === "sum").length} sums. Drag to walk it in its order.`];
    if (event.kind === "seed") return [where, `∂${seed}/∂${seed} = 1: here the backward pass starts.`];
    const node = this.runs[0].tape.nodes[event.node];
    if (event.kind === "sum") return [where, html("b", {}, "Sum. "), `${this.name(event.node)} was read in ${event.terms} places: the ${event.terms} cotangents that came back are added, norm ${short(event.norm)}.`];
    return [where, html("b", {}, "Vector-Jacobian product. "), `${this.name(event.node)}${node.name && node.formula ? ` = ${node.formula}` : ""} sends ${this.name(event.to)} its cotangent times ∂${node.op.name}/∂(${this.name(event.to)}), norm ${short(event.norm)}.`];
  }

  // -- the ops of one step -------------------------------------------------------------------------

  showInside() {
    const [summary, body] = this.inside.children;
    const [k, key] = this.focus ?? [0, ""];
    const shown = this.shown?.[k], box = shown?.made.boxes.find((b) => b.key === key);
    const run = this.runs[k] ?? this.runs[0];
    const focused = box?.kind === "cell" ? box : shown?.made.boxes.find((b) => b.kind === "cell" && b.step === (box?.step ?? run.steps - 1)) ?? this.shown?.[0].made.boxes.find((b) => b.kind === "cell");
    if (!focused) return;
    summary.textContent = `Inside step ${focused.own + 1}${run.words[focused.step] ? ` (${run.words[focused.step]})` : ""}: every op, its formula, its value and its gradient`;
    if (!this.inside.open) return;
    const { event, made } = shown ?? this.shown[0];
    const nodes = run.tape.nodes;
    const rows = focused.call.ids.filter((id) => nodes[id].op).map((id) => {
      const node = nodes[id], g = made.flow.all(id);
      const here = event && (event.node === id || event.to === id);
      return html("tr", { class: here ? "now" : null }, html("th", { scope: "row" }, node.name || "·"), html("td", {}, html("code", {}, node.formula || node.op.name)),
        html("td", { class: "n" }, short(norm_(node.value))), html("td", { class: "n" }, short(g)));
    });
    body.replaceChildren(html("div", { class: "scroll" }, html("table", {}, html("thead", {}, html("tr", {},
      html("th", { scope: "col" }, "name"), html("th", { scope: "col" }, "formula"), html("th", { scope: "col", class: "n" }, "‖value‖"), html("th", { scope: "col", class: "n" }, "‖gradient‖"))),
    html("tbody", {}, rows))));
  }
}

// Weights: one number, or a whole array times a factor.
const weights = (arrays, changed) => {
  const pick = html("select", {}, ...arrays().map(({ name }) => html("option", {}, name)));
  const row = html("input", { type: "number", min: 1, value: 1 }), column = html("input", { type: "number", min: 1, value: 1 });
  const value = html("input", { type: "number", step: "any" });
  const factor = html("input", { type: "number", step: "any", value: 2 });
  const now = () => arrays().find(({ name }) => name === pick.value);
  const at = () => {
    const { value: { shape } } = now();
    const c = shape.length > 1 ? shape.at(-1) : 1, r = shape.length ? count(shape) / c : 1;
    row.max = r; column.max = c; column.disabled = c === 1;
    const clamp = (input, most) => Math.min(most, Math.max(1, Number(input.value) || 1)) - 1;
    return clamp(row, r) * c + clamp(column, c);
  };
  const show = () => { value.value = now()?.value.data[at()] ?? ""; };
  [pick, row, column].forEach((input) => on(input, "input", show));
  on(value, "change", () => {
    if (value.value === "" || !Number.isFinite(Number(value.value))) { show(); return; }
    changed(now().name, (data) => { data[at()] = Number(value.value); });
  });
  const box = html("details", { class: "weights" }, html("summary", {}, "Change a weight"),
    html("div", { class: "bar" }, labelled("array", pick), labelled("row", row), labelled("column", column), labelled("value", value),
      html("span", { class: "group" }, labelled("all of it ×", factor), button("multiply", "multiply the whole array", () => {
        const by = Number(factor.value);
        if (Number.isFinite(by)) { changed(now().name, (data) => data.forEach((v, k) => { data[k] = v * by; })); show(); }
      }))));
  show();
  const open = (name, n) => { pick.value = name; row.value = n + 1; box.open = true; show(); value.focus(); value.select(); };
  return { box, show, open, fill: () => { const kept = pick.value; pick.replaceChildren(...arrays().map(({ name }) => html("option", {}, name))); if (arrays().some(({ name }) => name === kept)) pick.value = kept; show(); } };
};

// The gradient by step, as a table.
const stepTable = (panel) => {
  const run = panel.runs[0], back = panel.backs[0], flow = new Flow(run, back, Infinity);
  const seed = run.seeds[panel.seed].label;
  const ports = run.units.flatMap((unit, u) => (unit.calls[unit.start]?.cell.ports ?? []).map(([slot, out]) => ({ u, out, name: unit.calls[unit.start].cell.inputs[slot].name || "state", unit: unit.name })));
  if (!ports.length) run.units.forEach((unit, u) => unit.calls.length && ports.push({ u, out: 0, name: "y", unit: unit.name }));
  const several = run.units.length > 1;
  const head = ["step", ...(run.words.some(Boolean) ? ["word"] : []), ...ports.map((p) => `‖∂${seed}/∂${p.name}‖${several ? ` ${p.unit}` : ""}`)];
  const rows = Array.from({ length: run.steps }, (_, t) => html("tr", {}, html("th", { scope: "row" }, String(t + 1)),
    ...(run.words.some(Boolean) ? [html("td", {}, run.words[t])] : []),
    ...ports.map((p) => html("td", { class: "n" }, run.units[p.u].calls[t] ? short(flow.all(run.units[p.u].calls[t].outs[p.out])) : ""))));
  return html("table", {}, html("caption", {}, `Total gradient of ${seed} with regard to the states, by step`), html("thead", {}, html("tr", {}, ...head.map((h, k) => html("th", { scope: "col", class: k > 1 ? "n" : null }, h)))), html("tbody", {}, rows));
};
