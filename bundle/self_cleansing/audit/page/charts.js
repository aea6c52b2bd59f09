// SPDX-License-Identifier: Apache-2.0
// Three charts of the whole data set. A click on a bar sets the filters of the table, a second one clears them.
const BINS = 20;
const binOf = (trust) => Math.min(BINS - 1, Math.floor(trust * BINS + 1e-9));
const histogram = { class: ALL };

function drawCharts() {
  const classes = everyClass.map((k) => [k, findings.classes[k]]);
  const pick = (k) => { histogram.class = k; drawHistogram(); };
  if (K > 1) segments(byId("histogram-classes"), [[ALL, "All"], ...classes], ALL, pick);
  drawHistogram();
  drawKinds();
  drawCaseBars();
}

function drawHistogram() {
  const heights = Array(BINS).fill(0);
  findings.trust.forEach((trust, label) => {
    if (histogram.class === ALL || classOf(label) === histogram.class) heights[binOf(trust)] += 1;
  });
  const tallest = Math.max(1, ...heights);
  const bars = heights.map((height, n) => {
    const [low, high] = [n / BINS, (n + 1) / BINS];
    const words = `Trust ${decimals(low)} to ${decimals(high)}: ${plural(height, "label")}`;
    const bar = button("", () => toggleTrust(low, high), { title: words, "aria-label": words, "data-low": low });
    bar.append(el("span", { class: high <= 0.5 ? "suspect" : "" }));
    bar.firstChild.style.height = `${(100 * height) / tallest}%`;
    bar.firstChild.hidden = height === 0;
    return bar;
  });
  byId("histogram").replaceChildren(...bars, el("span", { class: "tallest" }, count(tallest)));
  markBars();
}

function toggleTrust(low, high) {
  const same = filter.low === low && filter.high === high && filter.class === histogram.class;
  setFilter(same ? { low: 0, high: 1, class: ALL } : { low, high, class: histogram.class });
}

function drawKinds() {
  const totals = findings.kinds.map((_, n) => sum(findings.suspect.filter((_, label) => findings.kind[label] === n)));
  if (suspects === 0) {
    byId("kinds").append(el("p", { class: "note" }, "No label is suspect."));
    return;
  }
  const most = Math.max(...totals);
  const order = findings.kinds.map((_, n) => n).sort((a, b) => totals[b] - totals[a]);
  const bars = order.map((n) => {
    const bar = el("span", { class: "bar" });
    bar.style.width = `${(100 * totals[n]) / most}%`;
    const row = button("", () => toggleKind(n), { "data-kind": n });
    row.append(el("span", {}, findings.kinds[n]), el("span", {}, bar), el("span", {}, count(totals[n])));
    return row;
  });
  byId("kinds").append(...bars);
}

function toggleKind(kind) {
  const same = filter.kind === kind && filter.verdict === 1;
  setFilter(same ? { kind: ALL, verdict: ALL } : { kind, verdict: 1 });
}

/** One column per case, the most suspect first. The table by case tells the same to those who see no chart. */
function drawCaseBars() {
  const share = (c) => caseNumbers[c].suspect / (caseNumbers[c].labels || 1);
  const order = findings.cases.map((_, c) => c);
  order.sort((a, b) => share(b) - share(a) || caseNumbers[a].least - caseNumbers[b].least || a - b);
  const most = Math.max(0.1, ...order.map(share));
  const size = { viewBox: `0 0 ${order.length || 1} ${most}`, preserveAspectRatio: "none" };
  const bars = order.map((c, n) => `M${n} ${most}V${most - share(c)}h0.9V${most}z`).join("");
  const marker = svg("path", { class: "marker" });
  const drawing = svg("svg", { ...size, role: "img", "aria-label": "Suspect labels by case" }, marker,
    svg("path", { class: "bars", d: bars }),
  );
  const at = (event) => {
    const box = drawing.getBoundingClientRect();
    const column = Math.floor(((event.clientX - box.left) / box.width) * order.length);
    return order[Math.max(0, Math.min(order.length - 1, column))];
  };
  const tell = (c) => {
    byId("case-read").textContent = caseText(c);
    const n = order.indexOf(c);
    marker.setAttribute("d", n < 0 ? "" : `M${n} 0h1v${most}h-1z`);
  };
  drawing.addEventListener("pointermove", (event) => tell(at(event)));
  drawing.addEventListener("pointerleave", () => tell(ALL));
  drawing.addEventListener("click", (event) => {
    const text = `"${findings.cases[at(event)]}"`;
    setFilter({ text: filter.text === text ? "" : text });
  });
  if (order.length) byId("case-bars").append(drawing, el("span", { class: "tallest" }, `${percent(most)} %`));
  tell(ALL);
}

function caseText(c) {
  if (c === ALL) return "Share of a case's labels. Click a column to filter.";
  const { labels, suspect, mean } = caseNumbers[c];
  return `${findings.cases[c]}: ${count(suspect)} of ${plural(labels, "label")} suspect, mean trust ${decimals(mean)}`;
}

/** Press the bars that the filters stand for. */
function markBars() {
  for (const bar of byId("histogram").querySelectorAll("button")) {
    const low = +bar.dataset.low;
    const narrowed = filter.low > 0 || filter.high < 1;
    bar.setAttribute("aria-pressed", narrowed && low >= filter.low - 1e-9 && low < filter.high - 1e-9);
  }
  for (const bar of byId("kinds").querySelectorAll("button")) {
    bar.setAttribute("aria-pressed", filter.kind === +bar.dataset.kind);
  }
}
