// Follows the log: rows come as server-sent events and are put on top, from when the page was made on. While it is
// paused nothing is read; afterwards it goes on where it stopped.

const MAX_ROWS = 500;
const box = document.querySelector("[data-stream]");
const body = document.querySelector("#entries tbody");
const button = document.getElementById("follow");
const state = document.getElementById("follow-state");
let source = null;
let from = box?.dataset.from ?? "";
let shown = 0;

function rowsOf(html) {
  const holder = document.createElement("template");
  holder.innerHTML = html; // made and escaped by the server
  return [...holder.content.querySelectorAll("tr")];
}

function show(rows) {
  const present = new Set([...body.querySelectorAll("tr")].map((row) => row.dataset.name));
  const fresh = rows.filter((row) => !present.has(row.dataset.name));
  for (const row of fresh) row.classList.add("fresh");
  body.prepend(...fresh);
  while (body.rows.length > MAX_ROWS) body.lastElementChild.remove();
  shown += fresh.length;
  document.querySelector(".empty")?.remove();
}

function say(text) {
  state.textContent = text;
}

function describe(live) {
  return `${live}: ${shown} new ${shown === 1 ? "entry" : "entries"}`;
}

function start() {
  const address = new URL(box.dataset.stream, window.location);
  address.searchParams.set("from_ms", from);
  source = new EventSource(address);
  source.addEventListener("entries", (event) => {
    from = event.lastEventId;
    show(rowsOf(event.data));
    say(describe("Live"));
  });
  source.addEventListener("ended", () => stop("Ended: sign in again"));
  source.addEventListener("open", () => say(describe("Live")));
  source.addEventListener("error", () => {
    if (source?.readyState === EventSource.CLOSED) stop("Ended: load the page again");
    else say("Reconnecting …");
  });
  button.textContent = "Pause";
  button.setAttribute("aria-pressed", "true");
  remember(true);
}

function stop(text) {
  source?.close();
  source = null;
  button.textContent = "Follow live";
  button.setAttribute("aria-pressed", "false");
  say(text);
  remember(false);
}

// Whether the page follows stands in its address, so that it can be linked to.
function remember(live) {
  const here = new URL(window.location);
  if (live) here.searchParams.set("follow", "1");
  else here.searchParams.delete("follow");
  window.history.replaceState(null, "", here);
}

if (box && body && button) {
  button.hidden = false;
  button.addEventListener("click", () => (source ? stop(describe("Paused")) : start()));
  if (new URL(window.location).searchParams.get("follow") === "1") start();
}
