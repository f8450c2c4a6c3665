// A drawing's page: its program run and drawn again whenever a number, a loss or a step changes.

const startDrawing = (root, program) => {
  const leaves = program.leaves;
  for (const leaf of leaves) leaf.value = decode(leaf.value);
  const first = leaves.map((leaf) => [...leaf.value.data]);
  const left = new Set();
  let panel = null;
  const editable = () => leaves.filter((leaf) => leaf.name && leaf.value.data.length);
  const { steps } = program;
  const spots = program.spots?.length ? program.spots : null, { vocabulary, ids } = program;
  // What is named by words that have been replaced is named anew.
  const names = [...program.labels];
  const rename = () => names.forEach((_, k) => {
    const word = (t) => (leaves[ids].value.data[t] === first[ids][t] ? names[program.named.findIndex((e) => e && e[0] === t && e[1] === t)] : vocabulary[leaves[ids].value.data[t]]);
    const ends = program.named[k], changed = ends?.some((t) => leaves[ids].value.data[t] !== first[ids][t]);
    program.labels[k] = !changed ? names[k] : ends[0] === ends[1] ? word(ends[0]) : `${word(ends[0])} … ${word(ends[1])}`;
    const shown = toggles?.querySelectorAll(".chip span")[k];
    if (shown) shown.textContent = said(k);
  });
  // The words of a tree or a source, each to be replaced by another that the model knows.
  const fill = () => chips.replaceChildren(html("span", { class: "quiet" }, "words:"), html("datalist", { id: "vocabulary" }, vocabulary.map((w) => html("option", { value: w }))),
    ...leaves[ids].value.data.map((id, t) => html("span", { class: "chip" }, html("input", { value: vocabulary[id], list: "vocabulary", size: 10, "aria-label": `word ${t + 1}`, onchange: (e) => {
      const found = vocabulary.indexOf(e.target.value.trim());
      if (found < 0) { panel.error.textContent = `“${e.target.value}” is not among the ${vocabulary.length} words that the model knows.`; return; }
      leaves[ids].value.data[t] = found;
      rename();
      panel.update();
    } }))));
  const chips = html("div", { class: "words", role: "group", "aria-label": "the words" });
  if (vocabulary) fill();
  const said = (t) => `${program.labels[t] ? `${program.labels[t]} ` : ""}${t + 1 - unitAt(t).start}`;
  const unitAt = (t) => program.units.find((u) => u.start <= t && t < u.start + u.steps);
  const named = (t) => (t === unitAt(t).start && program.units.some((u) => u.start) ? html("span", { class: "quiet" }, unitAt(t).name) : null);
  const toggles = spots ? null : html("div", { class: "words", role: "group", "aria-label": "steps" }, html("span", { class: "quiet" }, "steps that take part:"),
    ...times(steps <= 60 ? steps : 0, (_, t) => [named(t), html("label", { class: "chip" }, html("input", { type: "checkbox", checked: true, onchange: (e) => {
      if (e.target.checked) left.delete(t); else left.add(t);
      panel.update();
    } }), html("span", {}, said(t)))]));
  const box = weights(editable, (name, change) => { change(leaves.find((l) => l.name === name).value.data); panel.update(); });
  // A row of what a step reads, to be changed.
  const edit = (step) => {
    const { made } = panel.shown[0], box_ = made.boxes.find((b) => b.kind === "input" && b.step === step);
    const node = made.run.tape.nodes[box_.id];
    const from = made.run.tape.nodes[node.args[0] ?? box_.id], name = from.name;
    if (editable().some((leaf) => leaf.name === name)) box.open(name, node.n ?? 0);
  };
  panel = new Panel(root, {
    chosen: 0, edit, edits: [], words: html("div", {}, vocabulary ? chips : null, steps <= 60 ? toggles : null), drawn: spots ? drawnAt(spots) : null, weights: box.box,
    runs: () => [runGraph(program, left)],
    reset: () => {
      leaves.forEach((leaf, k) => { leaf.value.data.splice(0, Infinity, ...first[k]); });
      left.clear();
      if (vocabulary) { rename(); fill(); }
      toggles?.querySelectorAll("input").forEach((input) => { input.checked = true; });
      box.show();
    },
    table: (p) => { p.numbers.replaceChildren(html("div", { class: "scroll" }, stepTable(p))); },
  });
  return { panel, program, left, change: (name, index, value) => { leaves.find((l) => l.name === name).value.data[index] = value; panel.update(); } };
};
STARTS.drawing = startDrawing;
