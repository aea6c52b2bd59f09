// SPDX-License-Identifier: Apache-2.0
// The table. Of its rows only those in sight are elements: thousands cost what twenty do.
const ROW_HEIGHT = 66; // that of page.css
const ROWS_BEYOND = 4; // made above and below what is seen
const ROWS_IN_PRINT = 100;
const [bodyBefore, body, bodyAfter] = byId("table").tBodies;
const made = new Map();

function drawHead() {
  const { column, direction } = table.sort[table.by];
  const cells = shownColumns[table.by].map((name) => {
    const { head, key, hint, number } = columns[name];
    const state = name === column ? (direction > 0 ? "ascending" : "descending") : "none";
    const sorter = key ? button(head, () => sortBy(name), { title: hint }) : el("span", {}, head);
    const type = `col-${name}${number ? " number" : ""}`;
    return el("th", { scope: "col", class: type, "aria-sort": key ? state : undefined, "data-column": name }, sorter);
  });
  byId("table").tHead.replaceChildren(el("tr", {}, ...cells));
  byId("table").setAttribute("class", `by-${table.by}`);
}

function sortBy(column) {
  const sort = table.sort[table.by];
  const direction = sort.column === column ? -sort.direction : columns[column].first ?? 1;
  table.sort[table.by] = { column, direction };
  showRows();
  document.querySelector(`th[data-column="${column}"] button`).focus(); // the header is new
}

/** Show the rows anew, from the first. */
function showRows() {
  updateRows();
  drawHead();
  clearRows();
  byId("table").setAttribute("aria-rowcount", table.rows.length + 1);
  byId("count").textContent = countText();
  byId("nothing").hidden = table.rows.length > 0;
  const top = byId("browse").offsetTop;
  if (!byId("overview").hidden && scrollY > top) scrollTo(0, top);
  drawRows();
  showPreview();
}

function clearRows() {
  made.clear();
  body.replaceChildren();
}

function countText() {
  const labels = table.labels === N ? plural(N, "label") : `${count(table.labels)} of ${plural(N, "label")}`;
  return table.by === "label" ? labels : `${plural(table.rows.length, table.by)} with ${labels}`;
}

/** Make the rows in sight, keep those that still are, drop the others. */
function drawRows() {
  if (byId("overview").hidden) return;
  const top = bodyBefore.getBoundingClientRect().top;
  const clamp = (row) => Math.max(0, Math.min(table.rows.length, row));
  const first = clamp(Math.floor(-top / ROW_HEIGHT) - ROWS_BEYOND);
  const last = clamp(Math.ceil((innerHeight - top) / ROW_HEIGHT) + ROWS_BEYOND);
  setRows(first, last);
}

function setRows(first, last) {
  for (const [n, row] of made) {
    if (n < first || n >= last) {
      row.remove();
      made.delete(n);
    }
  }
  let next = body.firstChild;
  for (let n = first; n < last; n++) {
    if (made.has(n)) {
      next = made.get(n).nextSibling;
    } else {
      made.set(n, makeRow(n));
      body.insertBefore(made.get(n), next);
    }
  }
  space(bodyBefore, first);
  space(bodyAfter, table.rows.length - last);
}

function space(part, rows) {
  const filler = part.firstChild ?? part.appendChild(el("tr"));
  filler.style.height = `${rows * ROW_HEIGHT}px`;
}

function makeRow(n) {
  const cells = shownColumns[table.by].map((name) => {
    const { cell, number } = columns[name];
    return el("td", { class: `col-${name}${number ? " number" : ""}` }, cell(table.rows[n]));
  });
  const row = el("tr", { "aria-rowindex": n + 2, "aria-current": n === table.current ? "true" : undefined }, ...cells);
  row.addEventListener("click", () => setCurrent(n));
  row.addEventListener("dblclick", () => openRow(n));
  return row;
}

function setCurrent(n) {
  if (n < 0 || n >= table.rows.length) return;
  made.get(table.current)?.removeAttribute("aria-current");
  table.current = n;
  const top = bodyBefore.getBoundingClientRect().top + n * ROW_HEIGHT;
  const upper = byId("table").tHead.getBoundingClientRect().bottom;
  if (top < upper) scrollBy(0, top - upper);
  else if (top + ROW_HEIGHT > innerHeight) scrollBy(0, top + ROW_HEIGHT - innerHeight);
  drawRows();
  made.get(n)?.setAttribute("aria-current", "true");
  showPreview();
}

function inWords(label) {
  const error = findings.suspect[label] ? [", likely ", kindText(label)] : [];
  const trust = `: trust ${decimals(findings.trust[label])}, `;
  return el("p", {}, className(classOf(label)), trust, verdict(label), ...error);
}

function openRow(n) {
  const row = table.rows[n];
  if (row) location.hash = route(caseOf(row.label), sampleOf(row.label));
}

/** The current row, large, beside the table where the window is wide. */
function showPreview() {
  const row = table.rows[table.current];
  byId("preview").hidden = !row;
  if (!row) return;
  const { label } = row;
  const sample = sampleOf(label);
  drawPicture(document.querySelector("#preview .picture"), sample, bothOutlines(classesOf(row)));
  const place = `${findings.cases[caseOf(label)]}, slice ${findings.sampleSlice[sample]}`;
  const labels = row.labels.filter((one) => sampleOf(one) === sample);
  byId("preview-text").replaceChildren(el("p", {}, linkTo(row, place)), ...labels.map(inWords));
}
