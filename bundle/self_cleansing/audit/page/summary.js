// SPDX-License-Identifier: Apache-2.0
// The top of the page: what was audited, how much of it is suspect, how much is likely wrong.
const suspects = sum(findings.suspect);

function drawSummary() {
  byId("title").textContent = findings.title;
  const warnings = byId("warnings");
  warnings.hidden = findings.warnings.length === 0;
  warnings.append(...findings.warnings.map((text) => el("p", {}, text)));
  drawFigures();
  drawClasses();
  byId("legend").append(
    lineSample("given"), "given label ", lineSample("proposed"), "proposed label ", ...everyClass.map(className),
  );
  byId("preview-legend").append(lineSample("given"), "given ", lineSample("proposed"), "proposed");
  byId("settings").append(...findings.settings.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
  byId("settings").parentElement.hidden = findings.settings.length === 0;
}

function drawFigures() {
  const portion = N ? ` (${percent(suspects / N)} %)` : "";
  const figures = [
    ["Cases", count(findings.cases.length)],
    ["Slices", count(findings.sampleCase.length)],
    ["Labels", count(N)],
    ["Suspect", count(suspects) + portion],
    ["Wrong, estimated", shareText(findings.share)],
  ];
  byId("figures").append(...figures.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

function drawClasses() {
  const rows = everyClass.map((k) => {
    const ofClass = findings.suspect.filter((_, label) => classOf(label) === k);
    const share = findings.classShare[k];
    return el("tr", {},
      el("th", { scope: "row" }, className(k)),
      el("td", { class: "number" }, count(ofClass.length)),
      el("td", { class: "number" }, count(sum(ofClass))),
      el("td", {}, intervalBar(share)),
      el("td", {}, shareText(share)),
    );
  });
  byId("classes").tBodies[0].append(...rows);
}

/** A share from 0 to 1 as a tick on the line of its interval. */
function intervalBar(share) {
  if (share === null) return null;
  const [estimate, low, high] = share.map((value) => 100 * value);
  return svg("svg", { class: "interval", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("path", { class: "whole", d: "M0 5h100" }),
    svg("path", { class: "reach", d: `M${low} 5H${high}` }),
    svg("path", { class: "tick", d: `M${estimate} 0v10` }),
  );
}
