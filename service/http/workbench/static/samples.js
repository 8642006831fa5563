/** The sample images in the models' packages, each with its source; a click opens one with its model. */
import { ask } from "./api.js";
import { byId, el } from "./dom.js";
import { paintPicture, readPicture } from "./picture.js";

export async function offerSamples(look, models) {
  const root = byId("samples");
  for (const model of models) {
    const files = model.files.filter((file) => /^sample.*\.png$/.test(file)).sort((a, b) => a.length - b.length || a.localeCompare(b));
    const samples = (await Promise.all(files.map((file) => fetchSample(model, file)))).filter(Boolean);
    if (!samples.length) continue;
    if (!root.children.length) root.before(el("p", { class: "quiet" }, "Or try a sample. Samples come from each model's data set and were not used for training."));
    const buttons = await Promise.all(samples.map((sample, i) => offer(look, model, sample, i)));
    root.append(el("figure", { "aria-label": `Samples of ${model.name}` },
      el("div", { class: "row" }, ...buttons), el("figcaption", {}, el("strong", {}, model.name), el("small", {}, source(model)))));
  }
}

/** A package's image as a file with its path and source. */
async function fetchSample(model, name) {
  const path = `/models/${encodeURIComponent(model.name)}/files/${name}`;
  const image = await ask(path).then((answer) => answer.blob(), () => null);
  return image && Object.assign(new File([image], name, { type: image.type }), { path, source: source(model) });
}

async function offer(look, model, sample, i) {
  const thumbnail = el("canvas", { class: "thumbnail", "aria-hidden": "true" });
  const picture = await readPicture(sample);
  if (!picture.hidden) paintPicture(thumbnail, picture);
  const open = () => {
    look.choose(model.name);
    look.open(sample);
  };
  return el("button", { type: "button", class: "sample", "aria-label": `Sample ${i + 1} of ${model.name}`, onclick: open }, thumbnail);
}

/** Samples are held-out images, so their source and licence are those of the data. */
const source = (model) => model.trained_on ?? `Shipped with the model, ${model.license}`;
