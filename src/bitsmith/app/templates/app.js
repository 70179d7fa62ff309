/* Puts what the server drew into its place: asks for changes, sends choices. Sorting and the theme are the report's, in page.js. */
const all = selector => [...document.querySelectorAll(selector)];
const byId = id => document.getElementById(id);
const wide = matchMedia("(min-width: 70.01rem)");
const WAIT = 1500;      // ms until a server that did not answer is asked again
let seen = Number(document.body.dataset.seen), shown = null;
/* What this tab looks at, so that it is there again when the tab is loaded again. */
const kept = { get: name => sessionStorage.getItem(name), set: (name, value) => sessionStorage.setItem(name, value), drop: name => sessionStorage.removeItem(name) };

const tell = text => { byId("problem").textContent = text; byId("problem").hidden = !text; };

async function post(path, fields = {}) {
  tell("");
  try {
    const answer = await fetch(path, { method: "POST", body: new URLSearchParams(fields) });
    if (!answer.ok) tell((await answer.text()).trim());
    return answer.ok;
  } catch { byId("lost").hidden = false; return false; }
}

/* New text in a part; what had the focus has it again. */
function place(part, html) {
  const held = part.contains(document.activeElement) ? document.activeElement.id : "";
  part.innerHTML = html;
  if (held) byId(held)?.focus({ preventScroll: true });
}

function sortAgain() {
  const head = document.querySelector("#attempt-table th[aria-sort]");
  if (!head) return;
  const down = head.getAttribute("aria-sort") === "descending";
  head.setAttribute("aria-sort", down ? "ascending" : "descending");
  head.querySelector("button").click();
}

/* An attempt that is gone is not shown any more. */
function dropGone() {
  const number = kept.get("attempt");
  if (number === null || all(".open-attempt").some(button => button.dataset.number === number)) return;
  byId("attempt").replaceChildren();
  kept.drop("attempt");
}

function apply(parts) {
  for (const [id, html] of Object.entries(parts)) if (byId(id)) place(byId(id), html);
  if ("attempts" in parts) { sortAgain(); dropGone(); }
  if (Object.keys(parts).some(id => /^g\d/.test(id))) { search(); mark(); if (shown !== null) look(shown, false); }
}

async function follow() {
  for (;;) {
    try {
      const answer = await fetch(`/changes?seen=${seen}`);
      if (!answer.ok) throw new Error(String(answer.status));
      const { seen: now, parts } = await answer.json();
      byId("lost").hidden = true;
      seen = now;
      apply(parts);
    } catch {
      byId("lost").hidden = false;
      await new Promise(done => setTimeout(done, WAIT));
    }
  }
}

const mark = () => all(".look").forEach(b => b.setAttribute("aria-current", String(b.dataset.name === shown)));

/* One tensor: beside the table where there is room, else in a dialog. */
async function look(name, open = true) {
  shown = name;
  kept.set("tensor", name);
  mark();
  const answer = await fetch(`/tensor?name=${encodeURIComponent(name)}`).catch(() => null);
  if (shown !== name || answer === null) return;
  const html = answer.ok ? await answer.text() : "";
  if (!answer.ok && open) tell((await answer.text()).trim());
  const dialog = byId("tensor");
  const [full, empty] = wide.matches ? [byId("panel"), dialog.querySelector("div")] : [dialog.querySelector("div"), byId("panel")];
  if (html && full.dataset.html !== html) { place(full, html); full.dataset.html = html; }
  empty.replaceChildren();
  delete empty.dataset.html;
  if (open && !wide.matches && !dialog.open) dialog.showModal();
  if (wide.matches && dialog.open) dialog.close();
}
wide.addEventListener("change", () => { if (shown !== null) look(shown, byId("tensor").open); });

async function showAttempt(number, scroll = true) {
  const answer = await fetch(`/attempt/${number}`).catch(() => null);
  if (answer === null) return;
  if (!answer.ok) { tell((await answer.text()).trim()); return; }
  byId("attempt").innerHTML = await answer.text();
  kept.set("attempt", number);
  if (scroll) byId("attempt").scrollIntoView({ block: "nearest" });
}

function search() {
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean), only = byId("only-float").checked;
  let found = 0, total = 0;
  for (const body of byId("heat").tBodies) {
    if (!body.rows.length) continue;
    const text = body.textContent.toLowerCase();
    body.hidden = !(words.every(word => text.includes(word)) && (!only || body.rows[0].classList.contains("float")));
    found += !body.hidden;
    total += 1;
  }
  byId("found").textContent = words.length || only ? `${found} of ${total} layers` : "";
}

document.addEventListener("click", event => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.confirm && !confirm(button.dataset.confirm)) return;
  if (button.dataset.post) post(button.dataset.post);
  else if (button.matches(".look")) look(button.dataset.name);
  else if (button.matches(".open-attempt")) showAttempt(button.dataset.number);
});
document.addEventListener("change", async event => {
  const field = event.target;
  if (field.matches("select.format")) {
    const { key, role } = field.dataset;
    if (!await post("/format", { key, role, format: field.value })) refuse(field);
  } else if (field.closest("[data-change]")) {
    const form = field.closest("[data-change]");
    if (!await post(form.dataset.change, new FormData(form))) form.reset();
  }
});
/* What the server did not take is as it was. */
function refuse(field) {
  [...field.options].forEach((option, i) => { if (option.defaultSelected) field.selectedIndex = i; });
  if (![...field.options].some(option => option.defaultSelected)) field.selectedIndex = 0;
}
byId("recipe").addEventListener("submit", event => event.preventDefault());
["search", "only-float"].forEach(id => byId(id).addEventListener("input", search));

if (kept.get("tensor") !== null) look(kept.get("tensor"), false);
if (kept.get("attempt") !== null) showAttempt(kept.get("attempt"), false);
document.body.dataset.ready = "yes";
follow();
