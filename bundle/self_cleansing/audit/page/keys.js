// SPDX-License-Identifier: Apache-2.0
// The keyboard. The help in page.html lists the same.
const tableKeys = {
  j: () => setCurrent(table.current + 1),
  k: () => setCurrent(table.current - 1),
  ArrowDown: () => setCurrent(table.current + 1),
  ArrowUp: () => setCurrent(table.current - 1),
  Enter: () => openRow(table.current),
  "/": () => byId("filter-text").focus(),
};
const caseKeys = {
  j: () => goToSlice(open.at + 1),
  k: () => goToSlice(open.at - 1),
  ArrowDown: () => goToSlice(open.at + 1),
  ArrowUp: () => goToSlice(open.at - 1),
  ArrowRight: () => goToSlice(open.at + 1),
  ArrowLeft: () => goToSlice(open.at - 1),
  s: goToSuspect,
  n: () => goToCase(1),
  p: () => goToCase(-1),
  g: () => toggleOutline("show-given"),
  o: () => toggleOutline("show-proposed"),
  d: () => toggleOutline("show-difference"),
  Escape: () => goToTable(),
};

/** What a key does here, undefined where it keeps its own meaning. */
function actionOf(event) {
  const { key, target } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return undefined;
  if (target.matches("input:not([type=range], [type=checkbox]), select")) {
    return key === "Escape" ? () => target.blur() : undefined;
  }
  if (key === "Enter" && target.matches("a, button, summary")) return undefined;
  if (key === "?") return () => byId("help").showModal();
  if (byId("case").hidden) return tableKeys[key];
  return /^[1-9]$/.test(key) ? () => toggleClass(key - 1) : caseKeys[key];
}

function wireKeys() {
  document.addEventListener("keydown", (event) => {
    const action = actionOf(event);
    if (!action) return;
    event.preventDefault();
    action();
  });
  byId("help-open").addEventListener("click", () => byId("help").showModal());
}
