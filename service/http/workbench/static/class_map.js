/** The activation map card: one class map over the image, or two to compare. */
import { ask } from "./api.js";
import { COLOUR_MAPS, paintScale } from "./colour.js";
import { classMap, fade, layOut, swipe, valueOf } from "./map_display.js";
import { choice, el, number, percent, save, section, slider } from "./dom.js";

const FORMATS = [["overlay", "Overlay", "png"], ["heatmap", "Heat map", "png"], ["raw", "Values (.npy)", "npy"]];
const METHODS = { cam: "CAM", gradcam: "Grad-CAM", hirescam: "HiResCAM", occlusion: "Occlusion (slow)" };
const AHEAD = 3; // classes whose maps are prefetched

export class ClassMapCard {
  /** bench: the current image and model. answer: from /predict. before: the card before, whose display settings stay. onchange: called when the display changes. */
  constructor(bench, answer, { before, onchange }) {
    Object.assign(this, { bench, answer, onchange });
    const [top, next] = answer.classes;
    const { colourMap = "inferno", opacity = 0.7 } = before?.state ?? {};
    const method = before?.bench.model === bench.model ? before.state.method : bench.model.cam_methods[0];
    this.state = { label: top.label, method, colourMap, opacity, mode: "one", share: 0.5, otherModel: bench.model.name, otherLabel: (next ?? top).label };
    this.note = el("p", { class: "quiet", role: "status" });
    this.scale = el("canvas", { class: "scale", "aria-hidden": "true" });
    this.range = el("span", { class: "small" });
    this.pair = el("div", { class: "pair" });
    this.card = section("Where", null,
      choice("Class", answer.classes.map((found) => [found.label, `${found.name}, ${percent(found.probability)}`]),
        { id: "map-class", value: top.label, onchange: (label) => this.set({ label }) }),
      choice("Method", bench.model.cam_methods.map((name) => [name, METHODS[name] ?? name]),
        { id: "map-method", value: this.state.method, onchange: (method) => this.set({ method }) }),
      slider("Opacity", this.state.opacity, { id: "map-opacity", oninput: (opacity) => this.fade(opacity) }),
      choice("Colours", COLOUR_MAPS.map((name) => [name, name]),
        { id: "map-colours", value: colourMap, onchange: (colourMap) => this.set({ colourMap }) }),
      choice("Show", [["one", "One map"], ["swipe", "Two maps, swipe"], ["side", "Two maps, side by side"]],
        { id: "map-mode", value: "one", onchange: (mode) => this.set({ mode }) }),
      this.pair,
      el("div", { class: "key" }, el("span", { class: "small" }, "0"), this.scale, this.range),
      this.note,
      el("div", { class: "row", role: "group", "aria-label": "Save the map" },
        ...FORMATS.map(([format, text, ending]) => el("button", { type: "button", onclick: () => this.save(format, ending) }, text))),
    );
    bench.readouts.set("map", (pixel) => this.readout(pixel));
  }

  set(change) {
    Object.assign(this.state, change);
    if ("mode" in change || "otherModel" in change) this.#offerPair();
    return this.show();
  }

  fade(opacity) {
    this.state.opacity = opacity;
    fade(this.bench, opacity);
    this.onchange();
  }

  async show() {
    const { state, bench } = this;
    const request = (this.request = {});
    const other = { model: state.otherModel, label: state.otherLabel, method: this.#methodOf(state.otherModel) };
    const late = setTimeout(() => (this.note.textContent = "Computing the map …"), 150);
    try {
      const maps = await Promise.all([classMap(bench, this.fields), state.mode === "one" ? null : classMap(bench, other)]);
      if (request !== this.request || bench.signal.aborted) return;
      [this.first, this.other] = maps;
      layOut(bench, { ...state, first: this.first, other: this.other });
      paintScale(this.scale, state.colourMap);
      this.range.textContent = number(this.first.most);
      this.note.textContent = this.first.most > 0
        ? "Coloured regions increase the score of this class. Regions that lower it are not shown."
        : "No region of the image increases the score of this class.";
      this.onchange();
      this.#ahead();
    } catch (error) {
      if (request === this.request && !bench.signal.aborted) this.note.textContent = error.message;
    } finally {
      clearTimeout(late);
    }
  }

  get fields() {
    return { model: this.bench.model.name, label: this.state.label, method: this.state.method };
  }

  get call() {
    const { colourMap, opacity } = this.state;
    const fields = { ...this.fields, format: "overlay", colormap: colourMap, alpha: opacity };
    return { title: "This map over the image", path: "/cam", fields, save: "cam.png" };
  }

  readout(pixel) {
    if (!this.first) return null;
    const parts = [`${this.first.label} ${number(valueOf(this.first, pixel))}`];
    if (this.other) parts.push(`${this.other.label} ${number(valueOf(this.other, pixel))}`);
    return `map ${parts.join(", ")}`;
  }

  async save(format, ending) {
    const { colourMap, opacity } = this.state;
    try {
      const fields = { ...this.fields, format, colormap: colourMap, alpha: opacity };
      save(`${this.state.label}-${format}.${ending}`, await (await ask("/cam", { image: this.bench.file, fields })).blob());
    } catch (error) {
      this.note.textContent = error.message;
    }
  }

  /** The chosen method, or the model's default if it does not offer that method. */
  #methodOf(name) {
    const methods = this.bench.models.find((model) => model.name === name).cam_methods;
    return methods.includes(this.state.method) ? this.state.method : methods[0];
  }

  #offerPair() {
    const { state, bench } = this;
    if (state.mode === "one") return this.pair.replaceChildren();
    const able = bench.models.filter((model) => model.cam_methods.length && model.input.kind === "image");
    const classes = able.find((model) => model.name === state.otherModel).classes;
    if (!classes.some((known) => known.label === state.otherLabel)) state.otherLabel = classes[0].label;
    this.pair.replaceChildren(
      choice("Other model", able.map((model) => [model.name, model.name]),
        { id: "other-model", value: state.otherModel, onchange: (otherModel) => this.set({ otherModel }) }),
      choice("Other class", classes.map((known) => [known.label, known.name || known.label]),
        { id: "other-class", value: state.otherLabel, onchange: (otherLabel) => this.set({ otherLabel }) }),
    );
    if (state.mode === "swipe") this.pair.append(slider("Divider", state.share, { id: "line", oninput: (share) => swipe(bench.viewer, (state.share = share)) }));
  }

  /** Prefetches the next classes' maps, one after another, so that they show at once when chosen. */
  async #ahead() {
    if (this.state.method === "occlusion" || this.first.width * this.first.height > 1e6) return;
    for (const found of this.answer.classes.slice(1, 1 + AHEAD)) {
      if (this.bench.signal.aborted) return;
      await classMap(this.bench, { ...this.fields, label: found.label }).catch(() => null); // fetched again when chosen
    }
  }
}
