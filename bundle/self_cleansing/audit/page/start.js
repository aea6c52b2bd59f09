// SPDX-License-Identifier: Apache-2.0
// From the hash to what is shown, and the start.
let tablePlace = 0; // where the table was scrolled to when a case was opened

function showRoute() {
  const to = readRoute(location.hash);
  const fromTable = !byId("overview").hidden;
  if (to && fromTable) tablePlace = scrollY;
  byId("overview").hidden = to !== null;
  byId("case").hidden = to === null;
  if (to) {
    showCase(to.case, to.at);
    document.title = `${findings.cases[to.case]} – ${findings.title}`;
    if (!fromTable) return;
    scrollTo(0, 0);
    byId("case-name").focus({ preventScroll: true });
  } else {
    document.title = findings.title;
    if (fromTable) return;
    scrollTo(0, tablePlace);
    drawRows();
  }
}

function goToTable() {
  location.hash = "";
}

/** Pictures come after the script in the page: draw what lacks them. */
function onLoaded() {
  findPictures();
  clearRows();
  drawRows();
  showPreview();
  if (!byId("case").hidden) drawSlice();
  const images = [...document.querySelectorAll(".picture img[src]")];
  const decoded = images.map((image) => image.decode().catch(() => undefined));
  Promise.all(decoded).then(() => mark("pictures shown"));
}

/** Note the time at which what is there now has been painted. */
const mark = (name) => requestAnimationFrame(() => setTimeout(() => performance.mark(name)));

drawSummary();
drawFilters();
drawCharts();
wireCase();
wireKeys();
showRows();
showRoute();
mark("rows shown");
addEventListener("hashchange", showRoute);
addEventListener("scroll", drawRows, { passive: true });
addEventListener("resize", drawRows);
addEventListener("beforeprint", () => setRows(0, Math.min(ROWS_IN_PRINT, table.rows.length)));
addEventListener("afterprint", () => drawRows());
document.addEventListener("DOMContentLoaded", onLoaded);
new ResizeObserver(([entry]) => {
  document.documentElement.style.setProperty("--toolbar", `${entry.target.offsetHeight}px`);
}).observe(byId("filters"));
