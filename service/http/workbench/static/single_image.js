/** The view of one image: opens it, shows it, sends it to the model and shows the results. */
import { callsCard } from "./calls.js";
import { byId, el } from "./dom.js";
import { padCard, readsDigits } from "./pad.js";
import { SegmentationCard, segment } from "./segmentation.js";
import { fullWindow, paintPicture, readPicture, valueAt } from "./picture.js";
import { LayersCard } from "./layers.js";
import { Viewer, together } from "./viewer.js";
import { aboutCard, predict, classesCard } from "./classes.js";
import { ClassMapCard } from "./class_map.js";

const PASSING = new Set([0, 401, 403, 429, 500, 503, 504]); // statuses for which a retry may succeed

export class SingleImage {
  /** models: the ready ones, from GET /models. */
  constructor(models) {
    this.models = models;
    this.viewer = new Viewer(byId("view"));
    this.second = new Viewer(byId("second"));
    this.viewer.layer("picture");
    together(this.viewer, this.second);
    for (const viewer of [this.viewer, this.second]) viewer.addEventListener("point", ({ detail }) => this.#readout(detail));
    this.viewer.addEventListener("move", ({ detail }) => (byId("scale").value = `${Math.round(detail.scale * 100)} %`));
    byId("in").onclick = () => this.viewer.zoom(1.25);
    byId("out").onclick = () => this.viewer.zoom(0.8);
    byId("fit").onclick = () => this.viewer.fit();
    this.#offerModels();
    this.#offerWindow();
    this.readouts = new Map();
  }

  get model() {
    return this.models.find((model) => model.name === byId("model").value);
  }

  /** Shows a file at once, then sends it to the model. */
  async open(file) {
    this.file = file;
    this.#stop();
    byId("empty").hidden = true;
    byId("about").textContent = file.name;
    const picture = this.model?.input.kind === "signal" ? { hidden: "This is a signal; only its classes are shown." } : await readPicture(file);
    if (this.file !== file) return;
    this.picture = picture;
    this.viewer.empty();
    byId("window").hidden = true;
    if (picture.hidden) byId("about").textContent = `${file.name}. ${picture.hidden}`;
    else this.#paint(picture);
    await this.run();
  }

  /** Sends a drawing while it grows -> /predict's answer. The former result stays until then. */
  async draw(file) {
    this.file = file;
    this.asking?.abort();
    byId("empty").hidden = true;
    const picture = await readPicture(file);
    if (this.file !== file) return;
    this.picture = picture;
    if (this.viewer.size?.width !== this.picture.width) this.#stop();
    this.#paint(this.picture);
    return this.#ask({ pixelSizeUm: null });
  }

  /** Sends the image to the selected model. */
  async run({ pixelSizeUm = null } = {}) {
    if (!this.file || !this.model) return;
    this.#stop();
    await this.#ask({ pixelSizeUm });
  }

  async #ask({ pixelSizeUm }) {
    const { model } = this;
    const { signal } = (this.asking = new AbortController());
    this.maps = new Map();
    this.readouts = new Map();
    const bench = { ...this, model, signal };
    const busy = setTimeout(() => byId("panel").setAttribute("aria-busy", "true"), 150);
    try {
      const ask = model.task === "segmentation" ? this.#segment : this.#classify;
      return await ask.call(this, bench, pixelSizeUm);
    } catch (error) {
      if (!signal.aborted) {
        this.#stop();
        this.#problem(error);
      }
    } finally {
      clearTimeout(busy);
      if (this.asking.signal === signal) byId("panel").removeAttribute("aria-busy");
    }
  }

  async #classify(bench) {
    const answer = await predict(bench);
    if (bench.signal.aborted) return;
    const calls = el("div");
    const first = { title: "The classes", path: "/predict", fields: { model: bench.model.name, top_k: bench.model.classes.length } };
    const isImage = bench.model.input.kind === "image";
    const mapCard = isImage && bench.model.cam_methods.length ? new ClassMapCard(bench, answer, { before: this.mapCard, onchange: () => showCalls() }) : null;
    if (this.layersCard?.model !== bench.model) this.layersCard = null;
    const layersCard = isImage && bench.model.layers.length ? (this.layersCard ?? new LayersCard(bench.model)) : null;
    Object.assign(this, { mapCard, layersCard });
    const showCalls = () => {
      const open = calls.querySelector("details")?.open;
      calls.replaceChildren(callsCard([first, mapCard?.call, layersCard?.call].filter(Boolean), this.file));
      calls.firstChild.open = open ?? false;
    };
    if (layersCard) layersCard.onchange = showCalls;
    showCalls();
    const card = classesCard(answer, bench.model);
    const looks = readsDigits(bench.model) ? [layersCard?.card, card, mapCard?.card] : [card, mapCard?.card, layersCard?.card];
    this.#results(...looks, calls, aboutCard(answer));
    await Promise.all([mapCard?.show(), layersCard?.show(bench)]);
    return answer;
  }

  async #segment(bench, pixelSizeUm) {
    const found = await segment(bench, pixelSizeUm);
    if (bench.signal.aborted) return;
    const pixels = new SegmentationCard(bench, found, { pixelSizeUm, onmeasure: (size) => this.run({ pixelSizeUm: size || null }) });
    this.#results(pixels.card, callsCard([pixels.call], this.file), aboutCard(found.measured));
    pixels.show();
  }

  #results(...cards) {
    byId("results").replaceChildren(...cards.filter(Boolean));
    byId("state").textContent = `Result of ${this.model.name} for ${this.file.name} is shown.`;
  }

  #problem(error) {
    const may = PASSING.has(error.status);
    const again = may ? el("button", { type: "button", onclick: () => this.run() }, "Try again") : null;
    const wait = error.retryAfter && !/\d s\.$/.test(error.message) ? ` Try again in ${error.retryAfter} s.` : "";
    byId("problem").replaceChildren(el("div", { class: "problem" }, el("p", {}, error.message + wait), again));
  }

  /** Cancels the request in progress and clears its results. */
  #stop() {
    this.asking?.abort();
    byId("problem").replaceChildren();
    byId("results").replaceChildren();
    byId("state").textContent = "";
    this.second.root.hidden = true;
    this.second.empty();
    for (const name of this.viewer.layers.keys()) if (name !== "picture") this.viewer.clear(name);
  }

  #paint(picture) {
    const size = picture.pixelSizeUm ? `, ${Number(picture.pixelSizeUm.toPrecision(3))} µm a pixel` : "";
    const source = this.file.source ? `. ${this.file.source}` : "";
    byId("about").textContent = `${this.file.name}: ${picture.width} × ${picture.height}, ${picture.kind}${size}${source}`;
    paintPicture(this.viewer.layer("picture"), picture);
    const shown = this.viewer.size;
    if (shown?.width !== picture.width || shown.height !== picture.height) this.viewer.resize(picture.width, picture.height);
    byId("window").hidden = false;
    this.#showWindow();
  }

  #offerModels() {
    const select = byId("model");
    select.replaceChildren(...this.models.map((model) => el("option", { value: model.name }, model.name)));
    select.onchange = () => {
      this.choose(select.value);
      if (this.file) this.open(this.file);
    };
    if (this.models.length) this.choose(select.value);
  }

  choose(name) {
    byId("model").value = name;
    byId("purpose").textContent = this.model.description;
    byId("draw").replaceChildren(...(readsDigits(this.model) ? [padCard((file) => this.draw(file))] : []));
  }

  /** Connects the sliders for black and white, in thousandths of the picture's range. */
  #offerWindow() {
    const change = () => {
      const { least, most } = this.picture;
      const at = (id) => least + (byId(id).value / 1000) * (most - least);
      const low = at("low");
      this.#show({ low, high: Math.max(at("high"), low + (most - least) / 1000) });
    };
    byId("low").oninput = byId("high").oninput = change;
    byId("auto").onclick = () => {
      this.#show(fullWindow(this.picture));
      this.#showWindow();
    };
  }

  #show(window) {
    Object.assign(this.picture, window);
    byId("limits").value = `${Number(window.low.toPrecision(4))} to ${Number(window.high.toPrecision(4))}`;
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => {
      for (const viewer of [this.viewer, this.second]) if (viewer.size) paintPicture(viewer.layer("picture"), this.picture);
    });
  }

  #showWindow() {
    const { low, high, least, most } = this.picture;
    byId("low").value = ((low - least) / (most - least)) * 1000;
    byId("high").value = ((high - least) / (most - least)) * 1000;
    byId("limits").value = `${Number(low.toPrecision(4))} to ${Number(high.toPrecision(4))}`;
  }

  #readout(pixel) {
    const parts = [];
    if (pixel) {
      const um = this.picture?.pixelSizeUm;
      parts.push(`x ${pixel.x}, y ${pixel.y}`);
      if (um) parts.push(`${(pixel.x * um).toFixed(2)}, ${(pixel.y * um).toFixed(2)} µm`);
      if (this.picture && !this.picture.hidden) parts.push(`value ${valueAt(this.picture, pixel)}`);
      for (const readout of this.readouts.values()) parts.push(readout(pixel));
    }
    byId("readout").value = parts.filter(Boolean).join(" · ") || "\u00a0";
  }
}
