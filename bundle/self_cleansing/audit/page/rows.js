// SPDX-License-Identifier: Apache-2.0
// Which rows the table has: labels that pass the filters, one by one or gathered by slice or case, in order.
const ALL = -1;
const noFilter = { text: "", class: ALL, verdict: ALL, kind: ALL, low: 0, high: 1 };
const filter = { ...noFilter };
const table = { by: "label", sort: {}, rows: [], labels: 0, current: 0 };

/** Which cases have the text in their name, or as their whole name where it stands in double quotes. */
function casesNamed(text) {
  const whole = text.length > 1 && text.startsWith('"') && text.endsWith('"') ? text.slice(1, -1) : null;
  const part = text.trim().toLowerCase();
  return findings.cases.map((name) => (whole === null ? name.toLowerCase().includes(part) : name === whole));
}

function matchingLabels() {
  const named = casesNamed(filter.text);
  const labels = [];
  for (let label = 0; label < N; label++) {
    const trust = findings.trust[label];
    const matches =
      trust >= filter.low && (trust < filter.high || filter.high >= 1) &&
      (filter.class === ALL || classOf(label) === filter.class) &&
      (filter.verdict === ALL || findings.suspect[label] === filter.verdict) &&
      (filter.kind === ALL || findings.kind[label] === filter.kind) &&
      named[caseOf(label)];
    if (matches) labels.push(label);
  }
  return labels;
}

/** Rows of the labels: `label` is the least trusted of those that a row stands for. */
function gather(labels, by) {
  const rows = new Map();
  for (const label of labels) {
    const sample = sampleOf(label);
    const key = by === "label" ? label : by === "slice" ? sample : findings.sampleCase[sample];
    const row = rows.get(key);
    if (!row) {
      rows.set(key, { label, labels: [label] });
    } else {
      row.labels.push(label);
      if (findings.trust[label] < findings.trust[row.label]) row.label = label;
    }
  }
  return [...rows.values()];
}

const suspectIn = (row) => sum(row.labels.map((label) => findings.suspect[label]));

function compareRows(key, direction) {
  return (a, b) => {
    const [one, other] = [key(a), key(b)];
    if (one === null || other === null) {
      if (one !== other) return one === null ? 1 : -1; // the undefined stand last, whatever the direction
    } else if (one !== other) {
      return direction * (one < other ? -1 : 1);
    }
    return findings.trust[a.label] - findings.trust[b.label] || a.label - b.label;
  };
}

function updateRows() {
  const labels = matchingLabels();
  const { column, direction } = table.sort[table.by];
  table.labels = labels.length;
  table.rows = gather(labels, table.by).sort(compareRows(columns[column].key, direction));
  table.current = 0;
}

/** Cases in the order in which the table shows them. */
const casesInTable = () => [...new Set(table.rows.map((row) => caseOf(row.label)))];
