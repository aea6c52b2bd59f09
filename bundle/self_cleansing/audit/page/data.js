// SPDX-License-Identifier: Apache-2.0
// The findings and pictures that stand in the page. A label is a number: sample * K + class.
const findings = JSON.parse(document.getElementById("findings").textContent);
const K = findings.classes.length;
const N = findings.trust.length;
const sampleOf = (label) => Math.floor(label / K);
const classOf = (label) => label % K;
const caseOf = (label) => findings.sampleCase[sampleOf(label)];
const labelsOf = (sample) => Array.from({ length: K }, (_, k) => sample * K + k);
const sum = (values) => values.reduce((total, value) => total + value, 0);
const leastTrusted = (labels) => labels.reduce((a, b) => (findings.trust[b] < findings.trust[a] ? b : a));

/** Samples of each case, by slice. */
const samplesOf = findings.cases.map(() => []);
findings.sampleCase.forEach((c, sample) => samplesOf[c].push(sample));
samplesOf.forEach((samples) => samples.sort((a, b) => findings.sampleSlice[a] - findings.sampleSlice[b]));

/** Per case: labels, suspect ones, mean and least trust. */
const caseNumbers = samplesOf.map((samples) => {
  const labels = samples.flatMap(labelsOf);
  const trusts = labels.map((label) => findings.trust[label]);
  return {
    labels: labels.length,
    suspect: sum(labels.map((label) => findings.suspect[label])),
    mean: sum(trusts) / (trusts.length || 1),
    least: trusts.length ? Math.min(...trusts) : 1,
  };
});

/** Where each case stands when names are sorted as people do: a2 before a10. */
const nameRank = [];
{
  const compare = new Intl.Collator("en", { numeric: true }).compare;
  const order = findings.cases.map((_, c) => c).sort((a, b) => compare(findings.cases[a], findings.cases[b]));
  order.forEach((c, rank) => { nameRank[c] = rank; });
}

const CASES_KEPT = 32;
const unread = new Map();
const kept = new Map();

/** Find the elements with pictures. They follow the script: only once the whole page is there. */
function findPictures() {
  document.querySelectorAll("script[data-case]").forEach((element) => unread.set(+element.dataset.case, element));
}

/** Picture of a sample, or null while the page is being loaded. A case's are read when one is asked for. */
function pictureOf(sample) {
  const c = findings.sampleCase[sample];
  if (!unread.has(c)) return null;
  const pictures = kept.get(c) ?? JSON.parse(unread.get(c).textContent);
  kept.delete(c);
  kept.set(c, pictures); // the last asked for is the last forgotten
  if (kept.size > CASES_KEPT) kept.delete(kept.keys().next().value);
  return pictures[sample - firstSample[c]];
}

/** Number of each case's first sample: its pictures are in the order of samples. */
const firstSample = samplesOf.map((samples) => Math.min(...samples));
