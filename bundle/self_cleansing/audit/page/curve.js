// SPDX-License-Identifier: Apache-2.0
// Trust along the slices of a case, a line per class. A click goes to the slice.
const across = (n, slices) => (slices === 1 ? 0.5 : n / (slices - 1));

/** Draw the curve of a case's samples. `jump` gets the place of the slice clicked. */
function drawCurve(samples, classes, jump) {
  const point = (k) => (sample, n) => `${across(n, samples.length)},${1 - findings.trust[sample * K + k]}`;
  const line = (k) => ({ points: samples.map(point(k)).join(" "), stroke: findings.colours[k] });
  const box = { viewBox: "0 -0.04 1 1.08", preserveAspectRatio: "none" };
  const drawing = svg("svg", { ...box, role: "img", "aria-label": "Trust along the slices" },
    svg("path", { class: "below", d: "M0 0.5h1v0.5h-1z" }),
    svg("path", { class: "here", id: "curve-here" }),
    ...classes.map((k) => svg("polyline", line(k))),
  );
  drawing.addEventListener("click", (event) => {
    const { left, width } = drawing.getBoundingClientRect();
    jump(Math.round(((event.clientX - left) / width) * (samples.length - 1)));
  });
  byId("curve").replaceChildren(drawing);
  const end = (sample) => el("span", {}, `slice ${findings.sampleSlice[sample]}`);
  const middle = el("span", {}, "trust: top 1, bottom 0, shaded: suspect");
  byId("curve-axis").replaceChildren(end(samples[0]), middle, end(samples.at(-1)));
}

function markCurve(n, slices) {
  byId("curve-here").setAttribute("d", `M${across(n, slices)} -0.04v1.08`);
}
