/** A sortable table of the objects, and a histogram of their areas. */
import { el, number } from "./dom.js";

const ROWS = 300; // more would make the page slow; the CSV has all
const SVG = "http://www.w3.org/2000/svg";

/** Columns: [heading, value of an object]. */
export function columns(answer) {
  const um = answer.pixel_size_um !== null;
  const place = (axis) => (object) => (um ? object.centroid_um[axis] : object.centroid_px[axis]);
  return [
    ["No.", (object) => object.id],
    ["Class", (object) => object.label],
    [um ? "Area µm²" : "Area px", (object) => (um ? object.area_um2 : object.area_px)],
    [um ? "x µm" : "x px", place("x")],
    [um ? "y µm" : "y px", place("y")],
    ["Prob.", (object) => object.mean_probability],
  ];
}

export class ObjectTable {
  /** onpick: called with the object under the pointer or focus, or null. */
  constructor(answer, onpick) {
    Object.assign(this, { answer, onpick, columns: columns(answer), by: 2, down: true });
    this.heads = this.columns.map(([title], i) => el("th", { scope: "col" }, el("button", { type: "button", onclick: () => this.sort(i) }, title)));
    this.body = el("tbody");
    this.note = el("p", { class: "quiet small" });
    const table = el("table", { class: "objects" }, el("caption", { class: "away" }, "Objects"), el("thead", {}, el("tr", {}, ...this.heads)), this.body);
    this.node = el("div", {}, el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Objects" }, table), this.note);
    this.sort(2);
  }

  sort(by) {
    this.down = by === this.by ? !this.down : by >= 2;
    if (this.rows === undefined) this.down = true;
    this.by = by;
    const value = this.columns[by][1];
    const order = (a, b) => (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0);
    this.rows = this.answer.objects.toSorted(this.down ? (a, b) => order(b, a) : order);
    this.heads.forEach((head, i) => head.setAttribute("aria-sort", i === by ? (this.down ? "descending" : "ascending") : "none"));
    this.#fill();
  }

  /** Highlights an object's row and scrolls to it. */
  mark(id) {
    this.body.querySelector(".on")?.classList.remove("on");
    const row = id === null ? null : this.body.querySelector(`[data-id="${id}"]`);
    if (!row) return;
    row.classList.add("on");
    const scroll = row.closest(".scroll");
    scroll.scrollTop = row.offsetTop - scroll.clientHeight / 2;
  }

  get csv() {
    return [this.columns.map(([title]) => title), ...this.rows.map((object) => this.columns.map(([, value]) => value(object)))];
  }

  #fill() {
    const shown = this.rows.slice(0, ROWS);
    this.body.replaceChildren(...shown.map((object) => {
      const pick = () => this.onpick(object);
      const cells = this.columns.map(([, value]) => el("td", {}, typeof value(object) === "string" ? value(object) : number(value(object))));
      return el("tr", { tabindex: "0", "data-id": object.id, onmouseenter: pick, onfocus: pick, onmouseleave: () => this.onpick(null), onblur: () => this.onpick(null) }, ...cells);
    }));
    const all = this.rows.length;
    this.note.textContent = all > ROWS ? `Showing the first ${ROWS} of ${all.toLocaleString("en")}; the CSV has all.` : "";
  }
}

/** Areas -> an SVG of at most 24 bars with a text alternative. */
export function histogram(areas, unit) {
  if (areas.length < 2) return null;
  const sorted = Float64Array.from(areas).sort();
  const [least, most] = [sorted[0], sorted[sorted.length - 1]];
  const count = Math.max(4, Math.min(24, Math.ceil(Math.sqrt(areas.length) * 1.5)));
  const bins = new Array(count).fill(0);
  for (const area of areas) bins[Math.min(count - 1, Math.floor(((area - least) / (most - least || 1)) * count))]++;
  const highest = Math.max(...bins);
  const median = sorted[Math.floor(sorted.length / 2)];
  const words = `Areas of ${areas.length} objects from ${number(least)} to ${number(most)} ${unit}, median ${number(median)} ${unit}.`;
  const svg = document.createElementNS(SVG, "svg");
  const set = (node, attributes) => Object.entries(attributes).forEach(([name, value]) => node.setAttribute(name, value));
  set(svg, { viewBox: "0 0 240 70", role: "img", "aria-label": words, class: "histogram" });
  bins.forEach((bin, i) => {
    const rect = document.createElementNS(SVG, "rect");
    const height = (bin / highest) * 66;
    set(rect, { x: (i * 240) / count + 0.5, y: 68 - height, width: 240 / count - 1, height });
    svg.append(rect);
  });
  const axis = document.createElementNS(SVG, "line");
  set(axis, { x1: 0, x2: 240, y1: 68.5, y2: 68.5 });
  svg.append(axis);
  const ends = el("div", { class: "ends small" }, el("span", {}, number(least)), el("span", {}, `area, ${unit}; median ${number(median)}`), el("span", {}, number(most)));
  return el("figure", {}, svg, ends);
}
