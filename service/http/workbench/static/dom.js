/** DOM elements built without markup strings: the service's answers are only ever text. */

/** An element with attributes ("onclick": listener, "class", "value" ...) and children; null children are skipped. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export const byId = (id) => document.getElementById(id);

/** A bar whose length is a share of 1, with an optional mark at another share. */
export function bar(share, { mark = null, colour = null } = {}) {
  const fill = el("span", { class: "fill" });
  fill.style.width = `${Math.max(0, Math.min(1, share)) * 100}%`;
  if (colour) fill.style.background = colour;
  const whole = el("span", { class: "track", "aria-hidden": "true" }, fill);
  if (mark !== null) {
    const tick = el("span", { class: "mark" });
    tick.style.left = `${mark * 100}%`;
    whole.append(tick);
  }
  return whole;
}

/** A select with [value, text] pairs. */
export function choice(label, pairs, { value, onchange, id }) {
  const options = pairs.map(([key, text]) => el("option", { value: key }, text));
  const select = el("select", { id, onchange: () => onchange(select.value) }, ...options);
  if (value !== undefined) select.value = value;
  return el("div", { class: "field" }, el("label", { for: id }, label), select);
}

/** A slider from 0 to 1. */
export function slider(label, value, { oninput, id }) {
  const input = el("input", { type: "range", id, min: 0, max: 100, value: String(value * 100) });
  input.addEventListener("input", () => oninput(input.value / 100));
  return el("div", { class: "field" }, el("label", { for: id }, label), input);
}

/** A card of the panel: a heading, an optional sentence, and content. */
export function section(title, note, ...children) {
  return el("section", { class: "card" }, el("h2", {}, title), note ? el("p", { class: "quiet" }, note) : null, ...children);
}

/** One decimal; shares near 0 or 1 are never rounded to 0 % or 100 %. */
export function percent(share) {
  if (share > 0 && share < 0.001) return "< 0.1 %";
  return share > 0.999 && share < 1 ? "> 99.9 %" : `${(share * 100).toFixed(1)} %`;
}

/** Three significant digits, without an exponent if possible. */
export function number(value) {
  if (value === null || value === undefined) return "";
  if (Number.isInteger(value)) return value.toLocaleString("en");
  const size = Math.abs(value);
  return size >= 1e5 || size < 1e-3 ? value.toExponential(2) : Number(value.toPrecision(3)).toLocaleString("en", { maximumSignificantDigits: 6 });
}

/** Downloads a file. */
export function save(name, blob) {
  const url = URL.createObjectURL(blob);
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** Rows of values -> CSV text; cells that a spreadsheet would read as formulas get an apostrophe. */
export function csv(rows) {
  const cell = (value) => {
    let text = String(value ?? "");
    if (typeof value === "string" && /^[=+\-@\t]/.test(text)) text = `'${text}`;
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return rows.map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}
