// SPDX-License-Identifier: Apache-2.0
// The page of a case: a slice at a time, large, with what was found of its labels.
const WHEEL_STEP = 40; // pixels of wheel that make a slice, at most one per event
const open = { case: ALL, samples: [], at: 0, hidden: new Set(), wheel: 0 };

/** The hash of a case's page at a sample; readRoute is its inverse. */
const route = (c, sample) => `#case=${c}&slice=${findings.sampleSlice[sample]}`;

/** Case and place of the slice in a hash, null if it names no case. Without a known slice: the least trusted. */
function readRoute(hash) {
  const found = /^#case=(\d+)(?:&slice=(\d+))?$/.exec(hash);
  const samples = found && samplesOf[+found[1]];
  if (!samples || samples.length === 0) return null;
  const at = samples.findIndex((sample) => findings.sampleSlice[sample] === +found[2]);
  return { case: +found[1], at: at < 0 ? samples.indexOf(worstSample(+found[1])) : at };
}

const worstSample = (c) => sampleOf(leastTrusted(samplesOf[c].flatMap(labelsOf)));

function showCase(c, at) {
  const samples = samplesOf[c];
  Object.assign(open, { case: c, samples });
  byId("case-name").textContent = findings.cases[c];
  const order = casesInOrder();
  const place = count(order.indexOf(c) + 1);
  byId("case-place").textContent = `${place} of ${plural(order.length, "case")} in the table's order`;
  byId("case-previous").disabled = byId("case-next").disabled = order.length < 2;
  const { labels, suspect } = caseNumbers[c];
  byId("case-summary").textContent =
    `In this case ${count(suspect)} of ${plural(labels, "label")} ${suspect === 1 ? "is" : "are"} suspect; ` +
    `share of wrong labels, estimated: ${shareText(findings.caseShare[c])}.`;
  drawSuspects();
  byId("scroller").hidden = samples.length === 1;
  byId("slice").max = samples.length - 1;
  drawCaseCurve();
  showSlice(at);
}

/** The suspect slices as a list to choose from. */
function drawSuspects() {
  const items = open.samples.map((sample, at) => {
    const labels = labelsOf(sample).filter((label) => findings.suspect[label]);
    if (labels.length === 0 || open.samples.length === 1) return null;
    const words = labels.map((label) => el("span", { class: "class" }, swatch(classOf(label)), kindText(label)));
    const place = button(`Slice ${findings.sampleSlice[sample]}`, () => goToSlice(at));
    return el("li", { "data-at": at }, place, ...words);
  });
  byId("suspects").replaceChildren(...items.filter(Boolean));
  byId("next-suspect").hidden = items.filter(Boolean).length < 2;
}

const isSuspect = (sample) => labelsOf(sample).some((label) => findings.suspect[label]);
const shownClasses = () => everyClass.filter((k) => !open.hidden.has(k));
const drawCaseCurve = () => drawCurve(open.samples, shownClasses(), goToSlice);

function showSlice(at) {
  open.at = at;
  const sample = open.samples[at];
  const trust = Math.min(...labelsOf(sample).map((label) => findings.trust[label]));
  byId("slice").value = at;
  byId("slice").setAttribute("aria-valuetext", `slice ${findings.sampleSlice[sample]}, trust ${decimals(trust)}`);
  const [first, ...others] = open.samples.map((one) => findings.sampleSlice[one]);
  const range = others.length ? ` (of ${first} to ${others.at(-1)})` : "";
  byId("slice-name").textContent = `Slice ${findings.sampleSlice[sample]}${range}`;
  for (const item of byId("suspects").children) {
    item.classList.toggle("here", +item.dataset.at === at);
  }
  byId("slice-labels").tBodies[0].replaceChildren(...labelsOf(sample).map(labelRow));
  markCurve(at, open.samples.length);
  drawSlice();
}

function drawSlice() {
  drawPicture(byId("picture"), open.samples[open.at], {
    classes: shownClasses(),
    given: byId("show-given").checked,
    proposed: byId("show-proposed").checked,
    difference: byId("show-difference").checked,
  });
}

function labelRow(label) {
  const k = classOf(label);
  const box = el("input", { type: "checkbox", "data-class": k, checked: !open.hidden.has(k) });
  box.addEventListener("change", () => toggleClass(k));
  const area = (pixels) => (pixels === 0 ? "empty" : count(pixels));
  const error = findings.errorPx[label] === null ? NONE : `${signed(findings.errorPx[label])} px`;
  const mm = findings.errorMm[label] === null ? "" : ` (${signed(findings.errorMm[label])} mm)`;
  return el("tr", { class: verdictText(label) },
    el("th", { scope: "row" }, el("label", {}, box, " ", className(k))),
    el("td", {}, trustOf(label)),
    el("td", {}, verdict(label)),
    el("td", {}, kind(label)),
    el("td", { class: "number" }, error + mm),
    el("td", { class: "number" }, decimals(findings.dice[label])),
    el("td", { class: "number" }, `${area(findings.givenPx[label])} → ${area(findings.proposedPx[label])}`),
  );
}

function toggleClass(k) {
  if (k >= K) return;
  if (!open.hidden.delete(k)) open.hidden.add(k);
  byId("slice-labels").querySelector(`[data-class="${k}"]`).checked = !open.hidden.has(k);
  drawCaseCurve();
  markCurve(open.at, open.samples.length);
  drawSlice();
}

function toggleOutline(id) {
  byId(id).checked = !byId(id).checked;
  drawSlice();
}

/** Go to a slice of the open case. The back button leads to where the case was opened from, not through its slices. */
function goToSlice(at) {
  const to = Math.max(0, Math.min(open.samples.length - 1, at));
  if (to === open.at) return;
  history.replaceState(null, "", route(open.case, open.samples[to]));
  showSlice(to);
}

function goToSuspect() {
  const slices = open.samples.length;
  for (let step = 1; step <= slices; step++) {
    const at = (open.at + step) % slices;
    if (isSuspect(open.samples[at])) return goToSlice(at);
  }
}

/** Cases as the table shows them; all, where the open one is not among them. */
function casesInOrder() {
  const order = casesInTable();
  return order.includes(open.case) ? order : findings.cases.map((_, c) => c).filter((c) => samplesOf[c].length);
}

function goToCase(step) {
  const order = casesInOrder();
  const c = order[(order.indexOf(open.case) + step + order.length) % order.length];
  if (c !== open.case) location.hash = route(c, worstSample(c));
}

function onWheel(event) {
  if (open.samples.length === 1 || event.ctrlKey) return;
  event.preventDefault();
  open.wheel += event.deltaY * (event.deltaMode === 1 ? WHEEL_STEP : 1);
  if (Math.abs(open.wheel) < WHEEL_STEP) return;
  goToSlice(open.at + Math.sign(open.wheel));
  open.wheel = 0;
}

function wireCase() {
  byId("back").addEventListener("click", goToTable);
  byId("case-previous").addEventListener("click", () => goToCase(-1));
  byId("case-next").addEventListener("click", () => goToCase(1));
  byId("next-suspect").addEventListener("click", goToSuspect);
  byId("slice").addEventListener("input", () => goToSlice(+byId("slice").value));
  byId("picture").addEventListener("wheel", onWheel, { passive: false });
  for (const style of ["given", "proposed", "difference"]) {
    byId(`show-${style}`).addEventListener("change", drawSlice);
    byId(`show-${style}`).nextElementSibling.append(style === "difference" ? areaSample() : lineSample(style));
  }
}
