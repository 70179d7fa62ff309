"use strict";
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const stored = { get() { try { return localStorage.getItem("theme"); } catch { return null; } },
                 set(value) { try { localStorage.setItem("theme", value); } catch { /* a file may have no storage */ } } };

const theme = document.getElementById("theme");
const dark = () => (document.documentElement.dataset.theme
  || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
const tell = () => theme.setAttribute("aria-pressed", String(dark()));
if (["dark", "light"].includes(stored.get())) document.documentElement.dataset.theme = stored.get();
theme.hidden = false;
tell();
theme.addEventListener("click", () => {
  document.documentElement.dataset.theme = dark() ? "light" : "dark";
  stored.set(document.documentElement.dataset.theme);
  tell();
});

const key = (row, column) => {
  const cell = row.cells[column];
  const value = cell.dataset.v;
  return value === undefined ? cell.textContent.trim() : value === "" ? null : Number(value);
};
const compare = (a, b) => typeof a === "number" && typeof b === "number" ? a - b
  : String(a).localeCompare(String(b), "en", { numeric: true });
for (const button of all("button.sort")) {
  button.addEventListener("click", () => {
    const head = button.closest("th"), table = head.closest("table"), body = table.tBodies[0];
    const down = head.getAttribute("aria-sort") === "ascending";
    const rows = [...body.rows].map(row => [key(row, head.cellIndex), row]);
    rows.sort(([a], [b]) => a === null || b === null ? (a === null) - (b === null) : down ? compare(b, a) : compare(a, b));
    all("th[aria-sort]", table).forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    body.append(...rows.map(([, row]) => row));
  });
}

for (const tools of all(".tools")) {
  const fields = all("[data-for]", tools), table = document.getElementById(fields[0].dataset.for);
  const choose = () => {
    const words = tools.querySelector("[type=search]").value.toLowerCase().split(/\s+/).filter(Boolean);
    const only = tools.querySelector("[data-only]:checked");
    let shown = 0;
    for (const row of table.tBodies[0].rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !(words.every(word => text.includes(word)) && (!only || row.classList.contains(only.dataset.only)));
      shown += !row.hidden;
    }
    tools.querySelector(".found").textContent = words.length || only ? `${shown} of ${table.tBodies[0].rows.length}` : "";
  };
  fields.forEach(field => field.addEventListener("input", choose));
}

const dialog = document.getElementById("tensor");
for (const button of all("button.open")) {
  button.addEventListener("click", () => {
    const page = document.getElementById(button.dataset.t).content.cloneNode(true);
    dialog.setAttribute("aria-label", button.textContent);
    dialog.querySelector("div").replaceChildren(page);
    dialog.showModal();
    dialog.scrollTop = 0;
  });
}
dialog?.addEventListener("click", event => { if (event.target === dialog) dialog.close(); });
