// SPDX-License-Identifier: Apache-2.0
// The columns of the table.
const valueOf = (field) => (row) => findings[field][row.label];
const signedOf = (field) => (row) => signed(findings[field][row.label]);
const sliceOf = (row) => findings.sampleSlice[sampleOf(row.label)];
const slicesOf = (row) => samplesOf[caseOf(row.label)].length;
const shareOf = (row) => findings.caseShare[caseOf(row.label)];
const linkTo = (row, ...children) => el("a", { href: route(caseOf(row.label), sampleOf(row.label)) }, ...children);
const classesOf = (row) => (table.by === "label" ? [classOf(row.label)] : everyClass);

function nameOf(row) {
  const name = findings.cases[caseOf(row.label)];
  return fill(linkTo(row, name), { title: name }, []);
}

function thumbnail(row) {
  const box = el("span", { class: "picture" });
  drawPicture(box, sampleOf(row.label), bothOutlines(classesOf(row)));
  return fill(linkTo(row, box), { tabindex: "-1", "aria-hidden": "true" }, []); // the name of the case is the same link
}

function chips(row) {
  const suspect = row.labels.filter((label) => findings.suspect[label]);
  return suspect.length ? el("span", { class: "chips" }, ...suspect.map((label) => className(classOf(label)))) : NONE;
}

/** Trust along the slices of a row's case: a bar for the least trusted label of each. */
function strip(row) {
  const samples = samplesOf[caseOf(row.label)];
  const bars = samples.map((sample, n) => {
    const label = leastTrusted(labelsOf(sample));
    const style = findings.suspect[label] ? "suspect" : "";
    return svg("path", { class: style, d: `M${n} 1V${0.96 - 0.96 * findings.trust[label]}h0.9V1z` });
  });
  const box = { viewBox: `0 0 ${samples.length} 1`, preserveAspectRatio: "none", "aria-hidden": "true" };
  return svg("svg", { class: "strip", ...box }, ...bars);
}

/** Columns by name: heading, sort key of a row, content of its cell; `first` is the direction of the first click. */
const columns = {
  picture: { head: "", cell: thumbnail },
  case: { head: "Case", key: (row) => nameRank[caseOf(row.label)], cell: nameOf },
  slice: { head: "Slice", key: sliceOf, cell: sliceOf, number: true },
  slices: { head: "Slices", key: slicesOf, cell: slicesOf, number: true },
  class: { head: "Class", key: (row) => classOf(row.label), cell: (row) => className(classOf(row.label)) },
  trust: { head: "Trust", key: valueOf("trust"), cell: (row) => trustOf(row.label) },
  verdict: { head: "Verdict", key: valueOf("suspect"), cell: (row) => verdict(row.label), first: -1 },
  suspects: {
    head: "Suspect", key: suspectIn, first: -1, number: true,
    cell: (row) => `${suspectIn(row)} of ${row.labels.length}`,
  },
  classes: { head: "Suspect classes", key: suspectIn, cell: chips, first: -1 },
  kind: { head: "Likely error", key: valueOf("kind"), cell: (row) => kind(row.label) },
  errorPx: {
    head: "Error, px", key: valueOf("errorPx"), cell: signedOf("errorPx"), first: -1, number: true,
    hint: "Mean distance of the given boundary from the proposed one, positive where the given label is larger",
  },
  errorMm: {
    head: "Error, mm", key: valueOf("errorMm"), cell: signedOf("errorMm"), first: -1, number: true,
    hint: "The same in millimetres",
  },
  dice: {
    head: "Dice", key: valueOf("dice"), cell: (row) => decimals(findings.dice[row.label]), number: true,
    hint: "Of the given to the proposed label",
  },
  wrong: { head: "Wrong, estimated", key: (row) => shareOf(row)[0], cell: (row) => shareText(shareOf(row)), first: -1 },
  strip: { head: "Trust by slice", cell: strip },
};
const shownColumns = {
  label: ["picture", "case", "slice", "class", "trust", "verdict", "kind", "errorPx", "errorMm", "dice"],
  slice: ["picture", "case", "slice", "trust", "verdict", "classes"],
  case: ["picture", "case", "slices", "trust", "suspects", "wrong", "strip"],
};
for (const by of Object.keys(shownColumns)) table.sort[by] = { column: "trust", direction: 1 };
