// SPDX-License-Identifier: Apache-2.0
// Elements, and numbers as text. Whatever comes from the data set goes in as text or attribute, never as HTML.
const SVG = "http://www.w3.org/2000/svg";
const byId = (id) => document.getElementById(id);

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== ""));
  return element;
}
const el = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

function button(text, action, attributes = {}) {
  const made = el("button", { type: "button", ...attributes }, text);
  made.addEventListener("click", action);
  return made;
}

/** Buttons of which one is pressed. `choose` gets the value of the one clicked. */
function segments(parent, choices, chosen, choose) {
  const press = (value) => choices.forEach(([of], n) => parent.children[n].setAttribute("aria-pressed", of === value));
  parent.replaceChildren(...choices.map(([value, text]) => button(text, () => { press(value); choose(value); })));
  press(chosen);
  return press;
}

const NONE = "–";
const count = (value) => value.toLocaleString("en");
const plural = (value, word) => `${count(value)} ${word}${value === 1 ? "" : "s"}`;
const decimals = (value, digits = 2) => (value === null ? NONE : value.toFixed(digits));
const signed = (value) => {
  if (value === null) return NONE;
  const text = Math.abs(value).toFixed(1);
  return text === "0.0" ? text : (value < 0 ? "−" : "+") + text;
};
const percent = (value) => {
  const digits = value > 0 && value < 0.0995 ? 1 : 0;
  return (100 * value).toFixed(digits);
};
const shareText = (share) =>
  share === null ? NONE : `${percent(share[0])} % (${percent(share[1])}–${percent(share[2])} %)`;
const verdictText = (label) => (findings.suspect[label] ? "suspect" : "trusted");
const kindText = (label) => findings.kinds[findings.kind[label]];
const swatch = (k) => {
  const mark = el("span", { class: "swatch" });
  mark.style.background = findings.colours[k];
  return mark;
};
const className = (k) => el("span", { class: "class" }, swatch(k), el("span", {}, findings.classes[k]));

function trustOf(label) {
  const trust = findings.trust[label];
  const bar = el("span", { class: findings.suspect[label] ? "bar suspect" : "bar" });
  bar.style.width = `${100 * trust}%`;
  return el("span", { class: "trust" }, el("span", { class: "meter" }, bar), decimals(trust));
}
const verdict = (label) => el("span", { class: verdictText(label) }, verdictText(label));
const kind = (label) => {
  const chance = `${Math.round(100 * findings.kindProbability[label])} % of what may be wrong with it`;
  return el("span", { class: findings.suspect[label] ? "" : "faint", title: chance }, kindText(label));
};
