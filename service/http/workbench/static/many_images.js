/** The view of many images: one request per image, a few at a time, with a list of failures. */
import { askJson } from "./api.js";
import { byId, choice, csv, el, number, percent, save } from "./dom.js";
import { chosenFiles, droppedFiles, onDrop } from "./files.js";
import { thumbnail } from "./thumbnail.js";

const MOST = 500;
const AT_ONCE = 4;
const BUSY = new Set([0, 429, 503]); // the service is full, not ready or unreachable
const PATIENCE_S = 60; // an image fails after this long without any answer from the service

export class ManyImages {
  constructor(root, models) {
    this.models = models.filter((model) => model.input.kind === "image");
    this.results = [];
    this.progress = el("progress", { value: 0, max: 1, "aria-label": "Images answered", hidden: true });
    this.status = el("p", { class: "quiet", role: "status" });
    this.waits = el("div", { role: "status" });
    this.summary = el("p", { class: "tally" });
    this.grid = el("ul", { class: "grid" });
    this.failed = el("div");
    this.stopping = el("button", { type: "button", hidden: true, onclick: () => this.#end("Stopped: ") }, "Stop");
    const input = (id, text, folder) => {
      const field = el("input", { class: "away", type: "file", id, multiple: true, webkitdirectory: folder });
      field.addEventListener("change", () => {
        this.run(chosenFiles(field.files));
        field.value = ""; // allows choosing the same files again
      });
      return el("label", { class: folder ? "button" : "button primary" }, text, field);
    };
    root.append(
      el("h2", {}, "Many images"),
      el("div", { class: "drop" },
        el("p", {}, `Drop a folder here, or choose up to ${MOST} images.`),
        el("div", { class: "row" },
          choice("Model", this.models.map((model) => [model.name, model.name]), { id: "many-model", onchange: () => null }),
          input("many-files", "Choose images", false), input("many-folder", "Choose a folder", true), this.stopping)),
      this.progress, this.status, this.waits, this.summary, this.failed,
      this.tools = el("div", { class: "row", hidden: true },
        choice("Sort by", [["order", "order sent"], ["name", "name"], ["label", "class"], ["value", "probability or count, largest first"]],
          { id: "many-sort", onchange: (by) => this.sort(by) }),
        el("button", { type: "button", onclick: () => save("results.csv", new Blob([csv(this.rows)], { type: "text/csv" })) }, "Results (CSV)")),
      this.grid,
    );
    onDrop({ view: root, mark: root }, async (transfer) => this.run(await droppedFiles(transfer)));
  }

  /** items: [{file, path}]. Cancels a run in progress and sends the first MOST of them. */
  async run(items) {
    if (!items.length) return;
    const model = this.models.find((known) => known.name === byId("many-model").value);
    this.stop?.abort();
    const { signal } = (this.stop = new AbortController());
    this.all = Math.min(items.length, MOST);
    this.left = items.length - this.all;
    this.results = [];
    this.lastAnswer = performance.now(); // when the service last answered an image
    for (const node of [this.grid, this.failed, this.summary, this.waits]) node.replaceChildren();
    this.progress.hidden = this.tools.hidden = this.stopping.hidden = false;
    this.progress.max = this.all;
    this.#showProgress();
    const queue = items.slice(0, MOST).entries();
    const work = async () => {
      for (const [order, item] of queue) {
        const found = await this.#retried(item.file, model, signal);
        if (signal.aborted) return;
        this.#add({ order, ...item, model, ...found });
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    if (!signal.aborted) this.#end("");
  }

  sort(by) {
    const order = {
      order: (a, b) => a.order - b.order,
      name: (a, b) => a.path.localeCompare(b.path, "en", { numeric: true }),
      label: (a, b) => (a.label ?? "~").localeCompare(b.label ?? "~") || b.value - a.value,
      value: (a, b) => (b.value ?? -1) - (a.value ?? -1),
    }[by];
    this.grid.append(...this.results.toSorted(order).filter(({ node }) => node).map(({ node }) => node));
  }

  get rows() {
    const ordered = this.results.toSorted((a, b) => a.order - b.order);
    const heads = ["file", "model", "version", "sha256", "result", "value", "decided", "warnings", "error"];
    return [heads, ...ordered.map((row) => [
      row.path, row.model.name, row.model.version, row.sha256, row.label, row.value, row.decided,
      row.warnings?.map((warning) => warning.code).join(" "), row.error,
    ])];
  }

  /** The service's result for an image, or {error}; retries while the service is busy. */
  async #retried(file, model, signal) {
    for (;;) {
      try {
        const found = await result(file, model, signal);
        this.lastAnswer = performance.now();
        return found;
      } catch (error) {
        const busy = BUSY.has(error.status);
        if (!busy) this.lastAnswer = performance.now();
        const wait_s = error.retryAfter || 2;
        const silent_s = (performance.now() - this.lastAnswer) / 1000;
        if (signal.aborted || !busy || silent_s + wait_s > PATIENCE_S) return { error: error.message };
        await this.#pause(wait_s, error.message);
      }
    }
  }

  /** Shows the sentence while any image waits. */
  async #pause(wait_s, sentence) {
    const shown = el("p", { class: "notice" }, `${sentence} Retrying in ${wait_s} s.`);
    this.waits.replaceChildren(shown); // one notice is enough
    await new Promise((done) => setTimeout(done, 1000 * wait_s));
    shown.remove();
  }

  #add(result) {
    this.results.push(result);
    if (result.error) this.#fail(result);
    else this.grid.append((result.node = tile(result)));
    this.#showProgress();
  }

  #fail({ path, error }) {
    const list = this.failed.querySelector("ul") ?? el("ul", { class: "failures" });
    if (!this.failed.firstChild) {
      const box = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Failed images" }, list);
      this.failed.append(el("h3", {}, "Failed"), box);
    }
    list.append(el("li", {}, el("strong", {}, path), ` ${error}`));
  }

  #end(how) {
    this.stop.abort();
    this.stopping.hidden = true;
    this.waits.replaceChildren();
    this.sort(byId("many-sort").value);
    this.summary.textContent = summed(this.results.filter(({ error }) => !error));
    this.#showProgress(how);
  }

  #showProgress(how = "") {
    const bad = this.results.filter(({ error }) => error).length;
    const left = this.left ? ` ${number(this.left)} more were skipped: the limit is ${MOST}.` : "";
    this.progress.value = this.results.length;
    this.status.textContent = `${how}${this.results.length} of ${this.all} done${bad ? `, ${bad} failed` : ""}.${left}`;
  }
}

/** {label, value, decided, sentence, warnings, sha256}. */
async function result(file, model, signal) {
  const segments = model.task === "segmentation";
  const fields = segments ? { model: model.name, format: "measurements" } : { model: model.name, top_k: 1 };
  const answer = await askJson(segments ? "/segment" : "/predict", { image: file, fields, signal });
  const common = { warnings: answer.warnings, sha256: answer.input.sha256 };
  if (segments) return { ...common, label: "objects", value: answer.count, sentence: some(answer.count, "object") };
  const [{ label, name, probability, decided }] = answer.classes;
  return { ...common, label, name, value: probability, decided, sentence: `${name}, ${percent(probability)}${decided ? "" : ", below threshold"}` };
}

const some = (count, thing) => `${number(count)} ${thing}${count === 1 ? "" : "s"}`;

/** The number of images per class, or of objects in all images. */
function summed(results) {
  if (results[0]?.label === "objects") return `${some(results.reduce((sum, { value }) => sum + value, 0), "object")} in ${some(results.length, "image")}`;
  const counts = new Map();
  for (const { name, decided } of results) {
    const group = decided ? name : "below threshold";
    counts.set(group, (counts.get(group) ?? 0) + 1);
  }
  return [...counts].sort((a, b) => b[1] - a[1]).map(([group, count]) => `${group} ${number(count)}`).join(" · ");
}

function tile({ file, path, sentence, warnings }) {
  const folder = path.slice(0, -file.name.length);
  return el("li", {}, thumbnail(file),
    folder ? el("span", { class: "filename" }, folder) : null,
    el("span", { class: "filename", title: path }, file.name), el("span", {}, sentence),
    warnings.length ? el("small", { class: "warned" }, warnings.map((warning) => warning.message).join(" ")) : null);
}
