// SPDX-License-Identifier: Apache-2.0
// The controls above the table.
function drawFilters() {
  const choice = (name, n) => el("option", { value: n }, name);
  const choices = (names) => [choice("all", ALL), ...names.map(choice)];
  byId("filter-class").append(...choices(findings.classes));
  byId("filter-verdict").append(...choices(["trusted", "suspect"]));
  byId("filter-kind").append(...choices(findings.kinds));
  segments(byId("by"), [["label", "Labels"], ["slice", "Slices"], ["case", "Cases"]], table.by, (by) => {
    table.by = by;
    showRows();
  });
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("filters").addEventListener("input", readFilters);
  byId("clear").addEventListener("click", () => setFilter(noFilter));
  byId("nothing").append("Nothing passes the filters. ", button("Clear them", () => setFilter(noFilter)));
  if (N === 0) byId("nothing").textContent = "The data set has no labels.";
  showFilters();
}

function readFilters() {
  const clipped = (value) => Math.max(0, Math.min(1, value));
  const bound = (id, otherwise) => (byId(id).value === "" ? otherwise : clipped(byId(id).valueAsNumber));
  filter.text = byId("filter-text").value;
  filter.class = +byId("filter-class").value;
  filter.verdict = +byId("filter-verdict").value;
  filter.kind = +byId("filter-kind").value;
  filter.low = bound("filter-low", 0);
  filter.high = bound("filter-high", 1);
  markBars();
  showRows();
}

function setFilter(changes) {
  Object.assign(filter, changes);
  showFilters();
  markBars();
  showRows();
}

function showFilters() {
  byId("filter-text").value = filter.text;
  byId("filter-class").value = filter.class;
  byId("filter-verdict").value = filter.verdict;
  byId("filter-kind").value = filter.kind;
  byId("filter-low").value = decimals(filter.low);
  byId("filter-high").value = decimals(filter.high);
}
