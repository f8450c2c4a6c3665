// A drawing's page: its program run and drawn again whenever a number, a loss or a step changes.

const startDrawing = (root, program) => {
  const leaves = program.leaves;
  for (const leaf of leaves) leaf.value = decode(leaf.value);
  const first = leaves.map((leaf) => [...leaf.value.data]);
  const left = new Set();
  let panel = null;
  const editable = () => leaves.filter((leaf) => leaf.name && leaf.value.data.length);
  const steps = Math.max(...program.units.map((u) => u.steps));
  const spots = program.spots?.length ? program.spots : null, { vocabulary, ids } = program;
  // The words of a tree, each to be replaced by another that the model knows.
  const fill = () => chips.replaceChildren(html("span", { class: "quiet" }, "words:"), html("datalist", { id: "vocabulary" }, vocabulary.map((w) => html("option", { value: w }))),
    ...leaves[ids].value.data.map((id, t) => html("span", { class: "chip" }, html("input", { value: vocabulary[id], list: "vocabulary", size: 10, "aria-label": `word ${t + 1}`, onchange: (e) => {
      const found = vocabulary.indexOf(e.target.value.trim());
      if (found < 0) { panel.error.textContent = `“${e.target.value}” is not among the ${vocabulary.length} words that the model knows.`; return; }
      leaves[ids].value.data[t] = found;
      panel.update();
    } }))));
  const chips = html("div", { class: "words", role: "group", "aria-label": "the words" });
  if (vocabulary) fill();
  const toggles = spots ? null : html("div", { class: "words", role: "group", "aria-label": "steps" }, html("span", { class: "quiet" }, "steps that take part:"),
    ...Array.from({ length: steps <= 60 ? steps : 0 }, (_, t) => html("label", { class: "chip" }, html("input", { type: "checkbox", checked: true, onchange: (e) => {
      if (e.target.checked) left.delete(t); else left.add(t);
      panel.update();
    } }), `${program.labels[t] ? `${program.labels[t]} ` : ""}${t + 1}`)));
  const box = weights(editable, (name, change) => { change(leaves.find((l) => l.name === name).value.data); panel.update(); });
  // A row of what a step reads, to be changed.
  const edit = (step) => {
    const { made } = panel.shown[0], box_ = made.boxes.find((b) => b.kind === "input" && b.step === step);
    const node = made.run.tape.nodes[box_.id];
    const from = made.run.tape.nodes[node.args[0] ?? box_.id], name = from.name;
    if (editable().some((leaf) => leaf.name === name)) box.open(name, node.n ?? 0);
  };
  panel = new Panel(root, {
    chosen: 0, edit, edits: [], words: vocabulary ? chips : steps <= 60 ? toggles : null, drawn: spots ? drawnAt(spots) : null, weights: box.box,
    runs: () => [runGraph(program, left)],
    reset: () => {
      leaves.forEach((leaf, k) => { leaf.value.data.splice(0, Infinity, ...first[k]); });
      left.clear();
      if (vocabulary) fill();
      toggles?.querySelectorAll("input").forEach((input) => { input.checked = true; });
      box.show();
    },
    table: (p) => { p.numbers.replaceChildren(html("div", { class: "scroll" }, stepTable(p))); },
  });
  return { panel, program, left, change: (name, index, value) => { leaves.find((l) => l.name === name).value.data[index] = value; panel.update(); } };
};
STARTS.drawing = startDrawing;
