// Marks in a table of jobs, by mouse and by keyboard, and the question before something is done with them.

const results = document.getElementById("results");
const dialog = document.getElementById("ask");
const body = document.getElementById("ask-body");
let anchor = null;

const boxes = () => [...results.querySelectorAll('input[name="ids"]')];

function update() {
  const all = boxes();
  const count = all.filter((box) => box.checked).length;
  const whole = results.querySelector("[data-mark-all]");
  if (!whole) return;
  whole.checked = count > 0 && count === all.length;
  whole.indeterminate = count > 0 && count < all.length;
  results.querySelector("#marked").textContent = count ? `${count} marked` : "";
  for (const button of results.querySelectorAll("[data-marked]")) button.disabled = !count;
}

function markTo(box, checked) {
  const all = boxes();
  const [from, to] = [all.indexOf(anchor ?? box), all.indexOf(box)].sort((a, b) => a - b);
  for (const one of all.slice(Math.max(from, 0), to + 1)) one.checked = checked;
}

results.addEventListener("click", (event) => {
  const box = event.target.closest('input[name="ids"]');
  if (box) {
    if (event.shiftKey && anchor) markTo(box, box.checked);
    anchor = box;
  } else if (event.target.closest("[data-mark-all]")) {
    for (const one of boxes()) one.checked = event.target.checked;
  }
  update();
});

results.addEventListener("keydown", (event) => {
  const box = event.target.closest('input[name="ids"]');
  if (!box) return;
  const all = boxes();
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) {
    const next = all[all.indexOf(box) + step];
    if (next) {
      if (event.shiftKey) box.checked = next.checked = true;
      next.focus();
      anchor = next;
    }
  } else if (event.key === "Home" || event.key === "End") {
    all.at(event.key === "Home" ? 0 : -1).focus();
  } else if (event.key === "Enter") {
    box.closest("tr").querySelector("a").click();
  } else if (event.key === "Escape") {
    for (const one of all) one.checked = false;
  } else {
    return;
  }
  event.preventDefault();
  update();
});

async function ask(form, button) {
  const data = new FormData(form, button);
  const path = button.getAttribute("formaction") ?? form.getAttribute("action");
  const answer = await fetch(path, { method: "POST", body: new URLSearchParams(data), headers: { "HX-Request": "true" } });
  if (answer.redirected) {
    window.location = answer.url;
    return;
  }
  body.innerHTML = await answer.text(); // made and escaped by the server
  if (!dialog.open) dialog.showModal();
  (body.querySelector("button") ?? body.querySelector("a"))?.focus();
}

// Without this script the question is a page of its own.
document.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (button?.dataset.ask === undefined && !event.target.matches("#ask form")) return;
  event.preventDefault();
  ask(event.target, button);
});

body.addEventListener("click", (event) => {
  if (event.target.closest("[data-close]")) event.preventDefault();
});

results.addEventListener("refreshed", update);
update();
