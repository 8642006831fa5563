/** The segmentation card: the mask over the image, its objects and their measurements. */
import { ask, askJson } from "./api.js";
import { parts } from "./colour.js";
import { choice, csv, el, number, percent, save, section, slider } from "./dom.js";
import { fetchMask, paintAreas, paintObject } from "./mask.js";
import { ObjectTable, histogram } from "./objects.js";
import { warnings } from "./classes.js";

const FORMATS = [
  ["labels", "Labels", "png"], ["overlay", "Overlay", "png"], ["binary", "Black and white", "png"],
  ["colours", "Colours", "png"], ["masks", "Masks", "npy"], ["probabilities", "Probabilities", "npy"], ["measurements", "Measurements", "json"],
];

/** {measured, mask}: /segment's measurements and its mask. */
export async function segment(bench, pixelSizeUm) {
  const fields = { model: bench.model.name, pixel_size_um: pixelSizeUm, format: "measurements" };
  const request = askJson("/segment", { image: bench.file, fields, signal: bench.signal });
  const [measured, mask] = await Promise.all([request, fetchMask(bench, request)]);
  return { measured, mask };
}

export class SegmentationCard {
  constructor(bench, { measured, mask }, { pixelSizeUm, onmeasure }) {
    Object.assign(this, { bench, measured, mask, pixelSizeUm, hidden: new Set(), opacity: 0.45 });
    this.byObject = bench.model.separates_objects;
    this.objects = new Map(measured.objects.map((object) => [object.id, object]));
    this.table = new ObjectTable(measured, (object) => this.pick(object));
    this.note = el("p", { class: "quiet", role: "status" });
    const um = measured.pixel_size_um;
    const unit = um === null ? "px" : "µm²";
    this.card = section("Which pixels", null,
      el("p", { class: "verdict" }, `${measured.count.toLocaleString("en")} ${measured.count === 1 ? "object" : "objects"}`),
      warnings(measured.warnings),
      this.#classes(),
      slider("Opacity", this.opacity, { id: "mask-opacity", oninput: (opacity) => this.fade(opacity) }),
      choice("Show", [["both", "Areas and outlines"], ["areas", "Areas"], ["outlines", "Outlines"]],
        { id: "mask-mode", value: "both", onchange: (mode) => this.show(mode) }),
      this.#pixelSize(um, onmeasure),
      histogram(measured.objects.map((object) => (um === null ? object.area_px : object.area_um2)), unit),
      this.table.node,
      this.note,
      el("div", { class: "row", role: "group", "aria-label": "Save the result" },
        el("button", { type: "button", onclick: () => save("objects.csv", new Blob([csv(this.table.csv)], { type: "text/csv" })) }, "Table (CSV)"),
        ...FORMATS.map(([format, text, ending]) => el("button", { type: "button", onclick: () => this.save(format, ending) }, text))),
    );
    bench.readouts.set("mask", (pixel) => this.readout(pixel));
  }

  show(mode = this.mode ?? "both") {
    this.mode = mode;
    const { viewer } = this.bench;
    if (!viewer.size) viewer.resize(this.mask.width, this.mask.height);
    const tint = this.#tint();
    if (mode === "outlines") viewer.clear("areas");
    else paintAreas(viewer.layer("areas"), this.mask, tint);
    if (mode === "areas") viewer.clear("outlines");
    else this.mask.outline(viewer.layer("outlines"), this.mask, tint);
    this.fade(this.opacity);
  }

  fade(opacity) {
    this.opacity = opacity;
    this.bench.viewer.layer("areas").style.opacity = opacity;
  }

  pick(object) {
    if (object) paintObject(this.bench.viewer.layer("picked"), this.mask, object, this.byObject);
    else this.bench.viewer.clear("picked");
  }

  readout({ x, y }) {
    const value = this.mask.values[y * this.mask.width + x];
    const labels = this.mask.labelsOf(value).join(", ");
    const object = this.byObject ? this.objects.get(value) ?? null : null;
    if (object !== this.under) {
      this.under = object;
      this.pick(object);
      this.table.mark(object?.id ?? null);
    }
    return labels ? (object ? `${labels}, object ${value}` : labels) : "background";
  }

  get call() {
    const fields = { model: this.bench.model.name, format: "measurements", pixel_size_um: this.pixelSizeUm };
    return { title: "These measurements", path: "/segment", fields };
  }

  async save(format, ending) {
    try {
      const fields = { model: this.bench.model.name, format, pixel_size_um: this.pixelSizeUm };
      const answer = await ask("/segment", { image: this.bench.file, fields });
      save(`${this.bench.model.name}-${format}.${ending}`, await answer.blob());
      this.note.textContent = "";
    } catch (error) {
      this.note.textContent = error.message;
    }
  }

  /** Each value's colour as 32 bits: the mean colour of its visible classes, or 0. */
  #tint() {
    const tint = new Uint32Array(65536);
    const colourOf = new Map(this.bench.model.classes.map(({ label, colour }) => [label, parts(colour)]));
    for (const value of this.mask.known) {
      const shown = this.mask.labelsOf(value).filter((label) => !this.hidden.has(label)).map((label) => colourOf.get(label));
      if (!shown.length) continue;
      const [r, g, b] = [0, 1, 2].map((c) => shown.reduce((sum, colour) => sum + colour[c], 0) / shown.length);
      tint[value] = (r | (g << 8) | (b << 16) | 0xff000000) >>> 0;
    }
    return tint;
  }

  #classes() {
    const colourOf = new Map(this.bench.model.classes.map((known) => [known.label, known.colour]));
    return el("ul", { class: "classes" }, ...this.measured.classes.filter(({ label }) => label !== "background").map((known) => {
      const swatch = el("span", { class: "dot" });
      swatch.style.background = colourOf.get(known.label);
      const box = el("input", { type: "checkbox", checked: true, onchange: () => {
        this.hidden[box.checked ? "delete" : "add"](known.label);
        this.show();
      } });
      const area = known.area_um2 === null ? `${number(known.area_px)} px` : `${number(known.area_um2)} µm²`;
      return el("li", {}, el("label", {}, box, swatch, known.name), el("span", { class: "quiet" }, `${number(known.objects)} ${known.objects === 1 ? "object" : "objects"} · ${area} · ${percent(known.area_fraction)}`));
    }));
  }

  #pixelSize(known, onmeasure) {
    const input = el("input", { id: "pixel-size", type: "number", min: "0", step: "any", inputmode: "decimal", placeholder: "unknown", value: known === null ? "" : String(known) });
    input.addEventListener("change", () => onmeasure(input.value));
    return el("div", { class: "field" }, el("label", { for: "pixel-size" }, "Pixel size, µm"), input);
  }
}
