/** The maps of one layer side by side; the pointer or the arrow keys select a unit. */
import { el } from "./dom.js";

const GAP = 1; // px between the service's maps

export class FeatureMaps {
  /** onunit: called with the {column, row} of the selected unit. */
  constructor(onunit) {
    Object.assign(this, { onunit, unit: null });
    this.canvas = el("canvas", { "aria-hidden": "true", onclick: (event) => this.#click(event) });
    this.node = el("div", { class: "maps", tabindex: "0", role: "group", hidden: true, onkeydown: (event) => this.#key(event) }, this.canvas);
  }

  clear() {
    this.node.hidden = true;
    this.unit = null;
  }

  /** picture: an ImageBitmap of `count` maps of width x height units, `columns` in a row; the selected unit stays. */
  show(picture, { name, width, height, columns, count }) {
    const side = (picture.width + GAP) / columns; // of a map with its gap
    Object.assign(this, { picture, width, height, columns, count, zoom: (side - GAP) / width });
    this.node.setAttribute("aria-label", `Maps of ${name}. Arrow keys select a unit.`);
    this.node.hidden = false;
    if (this.unit) this.choose(this.unit);
    else this.#paint();
  }

  choose({ column, row }) {
    const within = (place, units) => Math.max(0, Math.min(units - 1, place));
    this.unit = { column: within(column, this.width), row: within(row, this.height) };
    this.#paint();
    this.onunit(this.unit);
  }

  /** Draws the maps with the selected unit framed in each. */
  #paint() {
    const { canvas, picture, zoom, unit } = this;
    Object.assign(canvas, { width: picture.width, height: picture.height });
    const context = canvas.getContext("2d");
    context.drawImage(picture, 0, 0);
    if (!unit) return;
    context.strokeStyle = "#fff";
    for (let n = 0; n < this.count; n++) {
      const left = (n % this.columns) * (this.width * zoom + GAP) + unit.column * zoom;
      const top = Math.floor(n / this.columns) * (this.height * zoom + GAP) + unit.row * zoom;
      context.strokeRect(left - 0.5, top - 0.5, zoom + 1, zoom + 1);
    }
  }

  #click({ offsetX, offsetY }) {
    const { canvas, zoom } = this;
    const place = (offset, shown, whole, units) => Math.floor((((offset / shown) * whole) % (units * zoom + GAP)) / zoom);
    this.choose({
      column: place(offsetX, canvas.clientWidth, canvas.width, this.width),
      row: place(offsetY, canvas.clientHeight, canvas.height, this.height),
    });
  }

  #key(event) {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const { column, row } = this.unit ?? { column: -step[0], row: -step[1] };
    this.choose({ column: column + step[0], row: row + step[1] });
  }
}
