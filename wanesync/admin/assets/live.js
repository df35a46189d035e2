// A page that keeps itself up to date. <main> holds one [data-live="ADDRESS OF THE EVENTS"]; each event "parts" holds
// {id: html} of elements to bring up to date in place, so that the focus, what is selected and what is opened stay.
// Every other event named in data-live-events is handed on as "live:NAME" with its parsed data. The button
// [data-live-pause] stops every refresh of the page, htmx's as well; a page that is not seen closes its stream.

const root = document.querySelector("[data-live]");
const state = document.querySelector("[data-live-state]");
const button = document.querySelector("[data-live-pause]");
let source = null;
// A pause holds for every page of this tab, until it is ended.
const KEY = "wanesync.paused";
let paused = Boolean(button) && sessionStorage.getItem(KEY) === "yes";

export function isPaused() {
  return paused;
}

function say(kind, text) {
  if (!state || (state.dataset.kind === kind && state.textContent === text)) return;
  state.dataset.kind = kind;
  state.textContent = text;
}

function open() {
  if (source || paused || document.hidden || !root) return;
  source = new EventSource(root.dataset.live);
  source.addEventListener("open", () => say("on", "Live"));
  source.addEventListener("error", () => {
    if (source?.readyState === EventSource.CLOSED) {
      close();
      say("off", "Not live: load the page again");
    } else {
      say("off", "Connecting…");
    }
  });
  source.addEventListener("trouble", (event) => say("off", `Not up to date: ${event.data}`));
  source.addEventListener("ended", () => {
    close();
    say("off", "Signed out: load the page again");
  });
  source.addEventListener("parts", (event) => {
    say("on", "Live");
    for (const [id, html] of Object.entries(JSON.parse(event.data))) update(document.getElementById(id), html);
  });
  for (const name of (root.dataset.liveEvents ?? "").split(" ").filter(Boolean)) {
    source.addEventListener(name, (event) =>
      root.dispatchEvent(new CustomEvent(`live:${name}`, { detail: JSON.parse(event.data) })),
    );
  }
}

function close() {
  source?.close();
  source = null;
}

/** Makes the children of an element what the text says, and leaves alone what is the same already. */
export function update(element, html) {
  if (!element) return;
  const wanted = document.createElement("template");
  wanted.innerHTML = html;
  alignChildren(element, wanted.content);
  // What all visitors are sent has no token in its forms.
  const token = document.querySelector('meta[name="csrf"]')?.content ?? "";
  for (const field of element.querySelectorAll('input[name="csrf"]')) field.value = token;
}

function alignChildren(old, wanted) {
  const nodes = [...wanted.childNodes];
  nodes.forEach((node, index) => {
    const known = old.childNodes[index];
    if (!known) old.append(node);
    else if (isAlike(known, node)) align(known, node);
    else known.replaceWith(node);
  });
  while (old.childNodes.length > nodes.length) old.lastChild.remove();
}

function isAlike(known, node) {
  return known.nodeType === node.nodeType && known.nodeName === node.nodeName && known.id === node.id;
}

function align(known, node) {
  if (known.nodeType !== Node.ELEMENT_NODE) {
    if (known.nodeValue !== node.nodeValue) known.nodeValue = node.nodeValue;
    return;
  }
  for (const { name } of [...known.attributes]) {
    // Whether the reader opened a section is not the server's.
    if (!node.hasAttribute(name) && name !== "open") known.removeAttribute(name);
  }
  for (const { name, value } of node.attributes) {
    if (known.getAttribute(name) !== value) known.setAttribute(name, value);
  }
  alignChildren(known, node);
}

function showPause() {
  button.setAttribute("aria-pressed", String(paused));
  if (paused) say("paused", "Paused");
}

button?.addEventListener("click", () => {
  paused = !paused;
  sessionStorage.setItem(KEY, paused ? "yes" : "no");
  showPause();
  if (paused) {
    close();
  } else {
    say("off", "Connecting…");
    open();
  }
});

// What htmx refreshes by itself stops as well; what the reader does goes on.
document.addEventListener("htmx:before:request", (event) => {
  const trigger = event.detail?.ctx?.sourceEvent?.type ?? "";
  if (paused && ["load", "every", "revealed", "intersect"].includes(trigger)) event.preventDefault();
});

document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
window.addEventListener("pagehide", close);
window.addEventListener("pageshow", open);
if (button) {
  button.hidden = !root;
  showPause();
}
open();
