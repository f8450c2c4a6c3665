// Arrays that all steps of a recurrence read alike: what attention looks back on.

// What all steps read alike, a row for each of its rows and a column for each step that reads it.
const matrices = ({ run, reads }, svg, group, wide, high, scale) => {
  const left = wide < 640 ? 74 : 158;
  for (const { id, unit, name, of, flat, steps } of reads) {
    const rows = flat ? 0 : run.tape.nodes[id].value.shape[0], made = run.units[of], own = made && rows === made.calls.length - made.start;
    const words = times(rows, (_, k) => (own && run.words[made.start + k]) || String(k + 1));
    const { start, name: called } = run.units[unit], w = Math.max(4, Math.min(62, (wide - left - 14) / steps.length));
    const what = words.length ? "what each step" : "is read by all steps", does = words.length ? " sends back to each row" : "; no gradient comes back";
    svg.append(text(6, high + 14, cut(`${name}: ${what} of ${called}${does}`, Math.floor(wide / 7)), "quiet", "start"));
    high += words.length ? 0 : 24;
    if (!words.length) continue;
    steps.forEach(([t], c) => {
      if (w >= 18) svg.append(text(left + c * w + w / 2, high + 32, cut(run.words[t] || String(t - start + 1), Math.max(2, Math.floor(w / 7))), "quiet"));
    });
    words.forEach((word, row) => {
      const y = high + 40 + 20 * row;
      const squares = steps.map(([t, norms], c) => {
        const v = norms ? norms[row] : null, kind = v === null ? "unused" : !finite(v) ? "broken" : v === 0 ? "zero" : "";
        const shade = kind ? 1 : Math.max(0.08, scale.of(v)).toFixed(2);
        return el("g", {}, el("title", {}, `${name}, row ${row + 1} (${word}), step ${t - start + 1}: ${v === null ? "nothing has come back" : short(v)}`),
          el("rect", { class: `square ${kind}`, x: left + c * w, y, width: Math.max(1, Math.min(w - 1, 20)), height: 16, rx: w > 12 ? 3 : 0, "fill-opacity": shade }),
          w >= 56 ? text(left + c * w + 24, y + 12, v === null ? "" : short(v), "number", "start") : null);
      });
      group({ key: `m${id}_${unit}_${row}`, kind: "param", says: `${name}, row ${row + 1}: ${word}` },
        el("rect", { class: "hit", x: 2, y: y - 1, width: wide - 8, height: 18 }), text(left - 10, y + 12, cut(word, wide < 640 ? 8 : 18), "", "end"), ...squares);
    });
    high += 52 + 20 * words.length;
  }
  return high;
};
