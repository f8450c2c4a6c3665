// What this page holds, started: drawings, their programs, a study.

const held = (id) => { const at = document.getElementById(id); return at ? JSON.parse(at.textContent) : null; };
const minigrad = { looks: [] };
for (const figure of document.querySelectorAll("[data-look]"))
  minigrad.looks.push(STARTS.look(figure, held(figure.dataset.look)));
for (const place of document.querySelectorAll("[data-program]")) {
  const program = held(place.dataset.program);
  try {
    minigrad.page = (STARTS.study ?? STARTS.drawing)(place, program);
    document.querySelectorAll("details.still").forEach((still) => { still.open = false; });
  } catch (error) {
    place.replaceChildren(html("p", { class: "error" }, `This page could not compute (${error.message}); the drawing below is as it was saved.`));
    minigrad.error = error;
  }
}
globalThis.minigrad = minigrad;
