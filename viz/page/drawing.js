// A drawing's page: its program run and drawn again whenever a number, a loss or a step changes.

const startDrawing = (root, program) => {
  const leaves = program.leaves;
  for (const leaf of leaves) leaf.value = decode(leaf.value);
  const first = leaves.map((leaf) => [...leaf.value.data]);
  const left = new Set();
  let panel = null;
  const editable = () => leaves.filter((leaf) => leaf.name && leaf.value.data.length);
  const steps = Math.max(...program.units.map((u) => u.steps));
  const toggles = html("div", { class: "words", role: "group", "aria-label": "steps" }, html("span", { class: "quiet" }, "steps that take part:"),
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
    chosen: 0, edit, edits: [], words: steps <= 60 ? toggles : null, weights: box.box,
    runs: () => [runGraph(program, left)],
    reset: () => {
      leaves.forEach((leaf, k) => { leaf.value.data.splice(0, Infinity, ...first[k]); });
      left.clear();
      toggles.querySelectorAll("input").forEach((input) => { input.checked = true; });
      box.show();
    },
    table: (p) => { p.numbers.replaceChildren(html("div", { class: "scroll" }, stepTable(p))); },
  });
  return { panel, program, left, change: (name, index, value) => { leaves.find((l) => l.name === name).value.data[index] = value; panel.update(); } };
};
STARTS.drawing = startDrawing;
