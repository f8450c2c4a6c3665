// A drawing that was made beforehand: hover or focus lights what a node depends on and what depends
// on it; zoom, fit, search.  graph: {prefix, nodes: [[id, says]], edges: [[id, source, target, back]]}.

const startLook = (figure, graph) => {
  const svg = figure.querySelector("svg"), get = (id) => document.getElementById(`${graph.prefix}-${id}`);
  if (!svg) return null;
  const reach = (start, back) => {
    const found = new Set([start]), waiting = [start];
    while (waiting.length) {
      const at = waiting.pop();
      for (const [, a, b, against] of graph.edges) {
        const [maker, user] = against ? [b, a] : [a, b];
        const [here, there] = back ? [user, maker] : [maker, user];
        if (here === at && !found.has(there)) { found.add(there); waiting.push(there); }
      }
    }
    return found;
  };
  const light = (id) => {
    svg.classList.toggle("lit", id !== null);
    if (id === null) return;
    const before = reach(id, true), after = reach(id, false);
    for (const [n] of graph.nodes) {
      const c = get(n)?.classList;
      c?.toggle("self", n === id);
      c?.toggle("before", n !== id && before.has(n));
      c?.toggle("after", n !== id && after.has(n));
    }
    for (const [e, a, b] of graph.edges) {
      get(e)?.classList.toggle("before", before.has(a) && before.has(b));
      get(e)?.classList.toggle("after", after.has(a) && after.has(b));
    }
  };
  svg.setAttribute("role", "graphics-document");
  const shapes = graph.nodes.map(([id, says]) => [id, says, get(id)]).filter(([, , g]) => g);
  shapes.forEach(([id, says, g], k) => {
    g.setAttribute("tabindex", k ? -1 : 0);
    g.setAttribute("role", "graphics-symbol");
    g.setAttribute("aria-label", says);
    on(g, "mouseenter focus", () => light(id));
    on(g, "mouseleave blur", () => light(null));
    on(g, "keydown", (e) => {
      const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[e.key];
      if (!by) return;
      e.preventDefault();
      const next = shapes[(k + by + shapes.length) % shapes.length][2];
      shapes.forEach(([, , other]) => other.setAttribute("tabindex", -1));
      next.setAttribute("tabindex", 0);
      next.focus();
    });
  });
  const own = svg.viewBox.baseVal.width * (4 / 3);
  let zoom = 0;
  const scale = (by) => {
    zoom = by ? Math.min(4, Math.max(0.1, (zoom || svg.clientWidth / own) * by)) : 0;
    svg.style.width = zoom ? `${own * zoom}px` : "100%";
    svg.style.minWidth = zoom ? "0" : "";
    svg.style.maxWidth = zoom ? "none" : "";
  };
  const found = html("span", { class: "quiet", role: "status" });
  const search = html("input", { type: "search", placeholder: "name or word", oninput: () => {
    const asked = search.value.trim().toLowerCase();
    const hits = shapes.filter(([, says, g]) => {
      const hit = asked !== "" && says.toLowerCase().includes(asked);
      g.classList.toggle("hit-by-search", hit);
      return hit;
    });
    found.textContent = asked ? `${hits.length} found` : "";
    hits[0]?.[2].scrollIntoView({ block: "nearest", inline: "center" });
  } });
  figure.prepend(html("div", { class: "bar" }, html("span", { class: "group" }, labelled("find", search), found),
    html("span", { class: "group" }, button("−", "smaller", () => scale(1 / 1.25)), button("fit", "fit to the width", () => scale(0)), button("+", "larger", () => scale(1.25)))));
  return { light, scale };
};
STARTS.look = startLook;
