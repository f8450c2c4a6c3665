// A study's page: its models over a sentence that can be rewritten, side by side.

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

const startStudy = (root, program) => {
  const { models, cells, vocabulary, next } = program;
  for (const model of models)
    model.params = Object.fromEntries(Object.entries(model.params).map(([k, v]) => [k, decode(v)]));
  const first = models.map((m) => Object.values(m.params).map((v) => [...v.data]));
  let ids = [...program.ids], shown = [0], panel = null;
  const number = new Map(vocabulary.map((word, k) => [word, k]));
  const update = () => panel.update();

  // -- what can be changed ---------------------------------------------------------------------------
  const list = html("datalist", { id: "vocabulary" }, vocabulary.slice(0, -1).map((w) => html("option", { value: w })));
  const words = html("div", { class: "words", role: "group", "aria-label": "the sequence" });
  const rewrite = (change) => { change(); panel.seed = Math.min(panel.seed, ids.length); panel.until = Infinity; fill(); update(); };
  const fill = () => {
    words.replaceChildren(list, ...ids.flatMap((id, t) => {
      const input = html("input", { value: vocabulary[id], list: "vocabulary", "aria-label": `step ${t + 1}`, size: 8, onchange: () => {
        const found = number.get(input.value.trim()) ?? number.get(input.value);
        input.classList.toggle("odd", found === undefined);
        if (found === undefined) {
          panel.error.textContent = `“${input.value}” is not among the ${vocabulary.length} tokens that the model knows.`;
          return;
        }
        panel.until = Infinity;
        ids[t] = found;
        update();
      } });
      input.style.width = `${Math.min(16, [...vocabulary[id]].length + 6)}ch`;
      return [html("span", { class: "chip" }, input, ids.length > 1 ? button("×", `leave out step ${t + 1}`, () => rewrite(() => { ids.splice(t, 1); if (panel.seed > t || panel.seed >= ids.length) panel.seed = Math.max(0, panel.seed - 1); })) : null)];
    }), button("+", "add a step at the end", () => rewrite(() => { ids.push(ids.at(-1)); })));
  };
  const cellsBar = html("span", { class: "group", role: "group", "aria-label": "cells" });
  const choose = (which) => { shown = which; panel.focus = null; panel.until = Infinity; box.fill(); update(); };
  const choices = [...models.map((m, k) => [m.name, [k]]), ...(models.length > 1 ? [["side by side", models.map((_, k) => k)]] : [])];
  choices.forEach(([name, which], k) => cellsBar.append(html("label", {}, html("input", { type: "radio", name: "cell", checked: k === 0, onchange: () => choose(which) }), name)));
  const box = weights(() => Object.entries(models[shown[0]].params).map(([name, value]) => ({ name, value })), (name, change) => {
    shown.forEach((k) => { if (models[k].params[name]) change(models[k].params[name].data); });
    update();
  });
  const chart = html("div", { class: "sheet" });
  const colours = ["one", "two", "three", "four"];
  const table = (p) => {
    const seed = p.runs[0].seeds[p.seed].label;
    const lines = p.runs.flatMap((run, k) => {
      const flow = new Flow(run, p.backs[k], Infinity), unit = run.units[0];
      return unit.calls[0].cell.ports.slice(0, p.runs.length > 1 ? 1 : 2).map(([slot, out], n) => ({
        name: p.runs.length > 1 ? unit.name : `‖∂${seed}/∂${unit.calls[0].cell.inputs[slot].name}‖`,
        kind: colours[(p.runs.length > 1 ? k : n) % 4],
        values: unit.calls.map((c) => flow.all(c.outs[out]) ?? 0),
      }));
    });
    const wide = Math.min(p.wide(), 900);
    chart.replaceChildren(html("h3", {}, `Where the gradient of ${seed} arrives: its norm with regard to ${p.runs.length > 1 ? "h" : "each state"}, by step`),
      html("div", { class: "scroll" }, curves(lines, p.runs[0].words, wide, `gradient norm of ${seed} by step`)));
    p.numbers.replaceChildren(...p.runs.map((run, k) => html("div", { class: "scroll" }, numbers(p, run, p.backs[k]))));
  };
  const numbers = (p, run, back) => {
    const flow = new Flow(run, back, Infinity), seed = run.seeds[p.seed].label, unit = run.units[0];
    const ports = unit.calls[0].cell.ports.map(([slot, out]) => [unit.calls[0].cell.inputs[slot].name, out]);
    const head = ["#", "token", "next", "predicted", "p", "loss", ...ports.map(([name]) => `‖∂${seed}/∂${name}‖`), `‖∂${seed}/∂x‖`];
    return html("table", {}, html("caption", {}, `${unit.name}: predictions, losses, and the total gradient of ${seed} with regard to each step’s states and input`),
      html("thead", {}, html("tr", {}, head.map((h, k) => html("th", { scope: "col", class: k > 3 || k === 0 ? "n" : null }, h)))),
      html("tbody", {}, run.words.map((word, t) => {
        const chances = run.tape.nodes[run.predicted(t)].value.data, best = chances.indexOf(Math.max(...chances));
        const loss = run.tape.nodes[run.heads[t].outs[0]].value.data[0];
        return html("tr", {}, html("th", { scope: "row", class: "n" }, String(t + 1)), html("td", {}, word), html("td", {}, run.targets[t]),
          html("td", { class: vocabulary[best] === run.targets[t] ? "right" : null }, vocabulary[best] + (vocabulary[best] === run.targets[t] ? " ✓" : "")),
          html("td", { class: "n" }, chances[best].toFixed(2)), html("td", { class: "n" }, short(loss)),
          ...ports.map(([, out]) => html("td", { class: "n" }, short(flow.all(unit.calls[t].outs[out])))),
          html("td", { class: "n" }, short(flow.all(run.inputs[t]))));
      })));
  };
  panel = new Panel(root, {
    chosen: program.chosen, words, edits: models.length > 1 ? [cellsBar] : [], weights: box.box, more: chart,
    runs: () => shown.map((k) => runModel(models[k], cells, vocabulary, ids, next)),
    caption: (k) => `${models[shown[k]].name}: mean loss ${short(panel.runs[k].heads.reduce((s, h) => s + panel.runs[k].tape.nodes[h.outs[0]].value.data[0], 0) / ids.length)}`,
    edit: (t) => { const input = words.querySelectorAll("input")[t]; input?.focus(); input?.select(); },
    reset: () => {
      models.forEach((m, k) => Object.values(m.params).forEach((v, n) => { v.data.splice(0, Infinity, ...first[k][n]); }));
      ids = [...program.ids];
      fill();
      box.show();
    },
    table: (p) => { if (p.runs) table(p); },
  });
  fill();
  return { panel, models, choose, rewrite, get ids() { return ids; }, set ids(to) { ids = to; fill(); update(); },
    change: (k, name, index, value) => { models[k].params[name].data[index] = value; update(); } };
};
STARTS.study = startStudy;
