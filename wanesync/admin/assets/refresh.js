// Parts of a page that show what changes: <div data-refresh="ADDRESS" data-every="SECONDS"> is loaded again and brought up
// to date in place. A part waits while it holds marks, while the page is hidden, and while "Pause refreshing" is pressed.

import { update } from "./live.js";

const parts = [...document.querySelectorAll("[data-refresh]")];
let paused = false;

function isBusy(part) {
  return paused || document.hidden || part.querySelector("input:checked") || document.querySelector("dialog[open]");
}

async function load(part) {
  const before = part.querySelector("[data-say]")?.dataset.say;
  const answer = await fetch(part.dataset.refresh, { headers: { "HX-Request": "true", "X-Wanesync-Refresh": "1" } });
  if (!answer.ok || isBusy(part)) return answer.ok;
  update(part, await answer.text()); // in place: the focus stays
  const said = part.querySelector("[data-say]");
  if (said && said.dataset.say !== before) {
    document.getElementById("notices").textContent = said.innerText;
    // The heading and the rest of the page may depend on how it ended.
    delete part.dataset.refresh;
    document.querySelector("button.pause")?.remove();
  }
  part.dispatchEvent(new CustomEvent("refreshed", { bubbles: true }));
  return true;
}

function keepFresh(part) {
  const every = Number(part.dataset.every) * 1000;
  const tick = async () => {
    if (!part.dataset.refresh) return;
    let next = every;
    try {
      if (!isBusy(part) && !(await load(part))) next = every * 6;
    } catch {
      next = every * 6; // the service is away: look less often
    }
    setTimeout(tick, next);
  };
  setTimeout(tick, every);
}

function addPause() {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "outline secondary pause";
  button.setAttribute("aria-pressed", "false");
  button.textContent = "Pause refreshing";
  button.addEventListener("click", () => {
    paused = !paused;
    button.setAttribute("aria-pressed", String(paused));
    button.textContent = paused ? "Refresh again" : "Pause refreshing";
  });
  document.querySelector("h1")?.after(button);
}

if (parts.length) addPause();
parts.forEach(keepFresh);
