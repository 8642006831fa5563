/** The network card: each stage's feature maps for this image, the first filters, and a unit's receptive field. */
import { ask, fact } from "./api.js";
import { el, number, section } from "./dom.js";
import { FeatureMaps } from "./feature_maps.js";

const FEW = 16; // maps of each stage in the overview
const MANY = 64; // maps of the selected stage: the service's maximum

export class LayersCard {
  constructor(model) {
    Object.assign(this, { model, first: 0, layer: null, onchange: () => {} });
    const filters = model.has_filters && { name: "filters", words: ["of the first layer"], lasting: true, ask: () => this.#filters(), open: () => this.filters() };
    const stages = model.layers.map((layer) => ({
      name: layer.name,
      words: [`${layer.channels} maps`, `${layer.height} × ${layer.width}`, `receptive field ${layer.receptive_field_px} px`],
      ask: () => this.#maps({ layer: layer.name, first: 0, count: FEW }),
      open: () => this.open(layer, 0),
    }));
    this.stages = [filters, ...stages].filter(Boolean).map((stage) => ({ ...stage, ...box(stage) }));
    this.maps = new FeatureMaps((unit) => this.#unit(unit));
    this.turns = el("div", { class: "row", hidden: true });
    this.note = el("p", { class: "quiet small", role: "status" });
    this.card = section("Inside the network", "The feature maps of each stage for this image. Select a stage to enlarge it.",
      el("div", { class: "stages" }, ...this.stages.map(({ button }) => button)), this.turns, this.maps.node, this.note);
  }

  get call() {
    if (!this.layer) return null;
    const fields = { model: this.model.name, layer: this.layer.name, format: "picture", first: this.first, count: MANY };
    return { title: `The maps of ${this.layer.name}`, path: "/activations", fields, save: "maps.png" };
  }

  /** Fetches the stages' maps as soon as the card is in view. */
  show(bench) {
    this.bench = bench;
    return new Promise((done) => {
      const watch = new IntersectionObserver(async (found) => {
        if (found.at(-1).isIntersecting) {
          watch.disconnect();
          await this.#all();
        }
        done();
      });
      watch.observe(this.card);
      bench.signal.addEventListener("abort", () => (watch.disconnect(), done()));
    });
  }

  async open(layer, first) {
    if (layer !== this.layer) this.#leave(layer.name);
    Object.assign(this, { layer, first });
    await this.#withErrors(async () => {
      const answer = await this.#maps(this.call.fields);
      const picture = await createImageBitmap(await answer.blob());
      const last = Math.min(first + MANY, layer.channels);
      this.note.textContent = `Maps ${first + 1} to ${last} of ${layer.channels}, each scaled to its own minimum and maximum. Click in a map to see the receptive field of that unit.`;
      this.maps.show(picture, { ...layer, columns: Number(fact(answer, "Columns")), count: last - first });
    });
    const turn = (to, text) => el("button", { type: "button", disabled: to < 0 || to >= layer.channels, onclick: () => this.open(layer, to) }, text);
    this.turns.replaceChildren(turn(first - MANY, "Previous"), turn(first + MANY, "Next"));
    this.turns.hidden = layer.channels <= MANY;
    this.onchange();
  }

  async filters() {
    this.#leave("filters");
    this.turns.hidden = true;
    await this.#withErrors(async () => {
      const answer = await this.#filters();
      const [count, , height, width] = JSON.parse(fact(answer, "Shape"));
      const picture = await createImageBitmap(await answer.blob());
      this.note.textContent = `${count} filters of ${width} × ${height}: the patterns that the first layer looks for.`;
      this.maps.show(picture, { name: "the filters", width, height, columns: Number(fact(answer, "Columns")), count });
    });
    this.onchange();
  }

  /** Fetches every stage's maps, and those of the selected stage. */
  #all() {
    const small = this.stages.filter(({ done }) => !done).map(async (stage) => {
      const picture = await createImageBitmap(await (await stage.ask()).blob());
      Object.assign(stage.canvas, { width: picture.width, height: picture.height });
      stage.canvas.getContext("2d").drawImage(picture, 0, 0);
      stage.done = stage.lasting;
    });
    return Promise.all([this.#withErrors(() => Promise.all(small)), this.layer && this.open(this.layer, this.first)]);
  }

  #maps(fields) {
    return ask("/activations", { image: this.bench.file, fields: { model: this.model.name, ...fields }, signal: this.bench.signal });
  }

  #filters() {
    return ask(`/models/${encodeURIComponent(this.model.name)}/filters`, { signal: this.bench.signal });
  }

  /** Deselects the current stage and selects the stage of this name. */
  #leave(name) {
    for (const stage of this.stages) stage.button.setAttribute("aria-pressed", String(stage.name === name));
    this.layer = null;
    this.maps.clear();
    this.bench.viewer.clear("picked");
  }

  async #withErrors(act) {
    const { signal } = this.bench;
    try {
      await act();
    } catch (error) {
      if (!signal.aborted) this.note.textContent = error.message;
    }
  }

  /** Frames the unit's receptive field: receptive_field_px centred on pixel origin_px + i * stride_px of the network's input. */
  #unit({ column, row }) {
    if (!this.layer) return;
    const { receptive_field_px: field, origin_px: origin, stride_px: stride } = this.layer;
    const { width, height } = this.model.input;
    const edge = (place) => origin + place * stride + 0.5 - field / 2;
    frame(this.bench.viewer, { x: edge(column) / width, y: edge(row) / height, width: field / width, height: field / height });
    const span = (from, size) => `${number(Math.max(0, from))} to ${number(Math.min(size, from + field) - 1)}`;
    this.note.textContent = `Unit ${column}, ${row} of ${this.layer.name} sees ${field} × ${field} px: x ${span(edge(column), width)}, y ${span(edge(row), height)} of the ${width} × ${height} network input.`;
  }
}

function box({ name, words, open }) {
  const canvas = el("canvas", { "aria-hidden": "true" });
  const lines = words.map((line) => el("span", {}, line));
  const button = el("button", { type: "button", class: "stage-box", "aria-pressed": "false", onclick: open }, canvas, el("strong", {}, name), ...lines);
  return { canvas, button };
}

/** A frame over the image; in shares of its sides. */
function frame(viewer, { x, y, width, height }) {
  const canvas = viewer.layer("picked");
  const { size } = viewer;
  if (!size) return;
  const fine = Math.ceil(1000 / Math.max(size.width, size.height)); // a thin line over a small image, too
  Object.assign(canvas, { width: size.width * fine, height: size.height * fine });
  const context = canvas.getContext("2d");
  const line = Math.max(1, canvas.width / 300);
  for (const [colour, wide] of [["#000", line * 2], ["#fff", line]]) {
    Object.assign(context, { strokeStyle: colour, lineWidth: wide });
    context.strokeRect(x * canvas.width, y * canvas.height, width * canvas.width, height * canvas.height);
  }
}
