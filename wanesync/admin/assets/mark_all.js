// A checkbox in the head of the first column marks every row of its table. Without script rows are marked one by one.

for (const table of document.querySelectorAll("table")) {
  const boxes = [...table.querySelectorAll("tbody td:first-child input[type=checkbox]")];
  const head = table.querySelector("thead th:first-child");
  if (!boxes.length || !head) continue;
  const all = document.createElement("input");
  all.type = "checkbox";
  all.setAttribute("aria-label", "Mark all of this page");
  head.textContent = "";
  all.addEventListener("change", () => boxes.forEach((box) => { box.checked = all.checked; }));
  table.addEventListener("change", (event) => {
    if (event.target !== all) all.checked = boxes.every((box) => box.checked);
  });
  head.append(all);
}
