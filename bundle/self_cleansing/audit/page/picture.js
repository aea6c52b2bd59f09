// SPDX-License-Identifier: Apache-2.0
// A slice with outlines over it: the given label thin and solid, the proposed one in thick dashes, so that both are
// seen where they coincide.

/** Draw a sample into a box, in place of what it showed. `shown`: classes, and whether given, proposed, difference. */
function drawPicture(box, sample, shown) {
  const picture = pictureOf(sample);
  if (picture === null) return;
  const [width, height] = picture.size;
  if (!box.firstChild) box.append(el("img", { alt: "", decoding: "sync", draggable: "false" }), svg("svg"));
  const [image, drawing] = box.children;
  image.setAttribute("src", `data:image/jpeg;base64,${picture.jpeg}`);
  image.setAttribute("width", width);
  image.setAttribute("height", height);
  drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const layers = [];
  const outline = (style, path, colour) => {
    if (!path) return;
    layers.push(svg("path", { class: `halo ${style}`, d: path }));
    layers.push(svg("path", { class: style, d: path, stroke: colour }));
  };
  for (const k of shown.classes) {
    const [given, proposed, colour] = [picture.given[k], picture.proposed[k], findings.colours[k]];
    if (shown.difference) layers.push(svg("path", { class: "difference", d: given + proposed, fill: colour }));
    if (shown.given) outline("given", given, colour);
    if (shown.proposed) outline("proposed", proposed, colour);
  }
  drawing.replaceChildren(...layers);
}

const everyClass = findings.classes.map((_, k) => k);
const bothOutlines = (classes) => ({ classes, given: true, proposed: true, difference: false });

/** A sample of the line that `style` is drawn in, for a legend. */
const lineSample = (style) => {
  const line = svg("path", { class: style, d: "M1 6h34" });
  return svg("svg", { class: "line", viewBox: "0 0 36 12", "aria-hidden": "true" }, line);
};
const areaSample = () => {
  const area = svg("path", { class: "difference", d: "M4 2h28v8h-28z" });
  return svg("svg", { class: "line", viewBox: "0 0 36 12", "aria-hidden": "true" }, area);
};
