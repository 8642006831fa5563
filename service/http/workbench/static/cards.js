/** Model cards: purpose, evaluation metrics and limits. */
import { ask, askJson } from "./api.js";
import { el, number } from "./dom.js";

export async function showCards(root, models) {
  const cards = models.map(card);
  root.replaceChildren(el("h2", {}, "Models"), el("div", { class: "cards" }, ...cards.map(({ node }) => node)));
  const { model_stats: stats } = await askJson("/v2/models/stats").catch(() => ({ model_stats: [] }));
  for (const { model, live, limits, plots } of cards) {
    for (const file of model.files.filter((name) => /\.png$/.test(name) && !name.startsWith("sample"))) showPlot(plots, model, file);
    showStatistics(live, stats.find((known) => known.name === model.name && known.version === model.version));
    if (model.files.includes("README.md")) showLimits(limits, model);
  }
}

function card(model) {
  const live = el("p", { class: "quiet live" });
  const limits = el("div", { class: "limits" });
  const plots = el("div", { class: "plots" });
  const unusable = model.status !== "ready";
  const node = el("article", { class: `card model${unusable ? " unusable" : ""}`, "aria-label": model.name },
    el("h3", {}, model.name, " ", el("small", {}, model.version)),
    unusable ? el("p", { class: "problem" }, model.reason ?? `This model is ${model.status}.`) : el("p", {}, model.description),
    unusable ? null : facts(model),
    figures(model),
    plots,
    limits,
    live,
  );
  return { model, node, live, limits, plots };
}

function facts(model) {
  const { input } = model;
  const size = input.height ? `${input.width} × ${input.height}` : `any size from ${input.smallest_image_px} px`;
  const kind = input.kind === "signal" ? `signal of ${input.width} samples` : `${input.channels === 1 ? "grey" : "colour"} image, ${size}`;
  const pair = (name, value) => (value ? el("div", {}, el("dt", {}, name), el("dd", {}, value)) : null);
  return el("dl", { class: "facts" },
    pair("Task", model.task),
    pair("Classes", model.classes.map((known) => known.name || known.label).join(", ")),
    pair("Input", kind + (input.pixel_size_um ? `, ${number(input.pixel_size_um)} µm a pixel` : "")),
    pair("Network", model.architecture),
    pair("Runs on", model.provider),
    pair("Trained on", model.trained_on),
    pair("Data hash", model.data_sha256 && el("code", { class: "digest" }, model.data_sha256)),
    pair("Licence", model.license),
    pair("SHA-256", el("code", { class: "digest" }, model.sha256)),
  );
}

/** Each metric as a dot on its interval, on a scale from 0 to 1. */
function figures(model) {
  if (!model.figures.length) return null;
  const row = (figure) => el("tr", {},
    el("th", { scope: "row" }, figure.metric),
    el("td", {}, figure.value.toFixed(3)),
    el("td", {}, `${figure.low.toFixed(3)} to ${figure.high.toFixed(3)}`),
    el("td", {}, interval(figure)),
    el("td", {}, `${figure.n} ${figure.split}`));
  const heads = ["Metric", "Value", "95 % interval", "0 to 1", "Evaluated on"].map((title) => el("th", { scope: "col" }, title));
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Metrics of ${model.name}` },
    el("table", {}, el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...model.figures.map(row))));
}

function interval({ value, low, high }) {
  if (low < 0 || high > 1) return "";
  const range = el("span", { class: "range" });
  range.style.left = `${low * 100}%`;
  range.style.width = `${(high - low) * 100}%`;
  const dot = el("span", { class: "value" });
  dot.style.left = `${value * 100}%`;
  return el("span", { class: "interval", "aria-hidden": "true" }, range, dot);
}

function showStatistics(node, stats) {
  if (!stats) return;
  const { success, fail, compute_infer: infer } = stats.inference_stats;
  const mean = success.count ? `, mean ${number(success.ns / success.count / 1e6)} ms (${number(infer.ns / Math.max(1, infer.count) / 1e6)} ms in the network)` : "";
  node.textContent = `Requests since loading: ${success.count} answered${mean}, ${fail.count} failed.`;
}

/** Shows a picture from the package, such as an evaluation plot. */
async function showPlot(node, model, file) {
  const path = `/models/${encodeURIComponent(model.name)}/files/${file}`;
  const name = file.replace(/\.png$/, "").replaceAll("_", " ");
  const figure = el("figure", {}, el("figcaption", { class: "quiet small" }, name));
  node.append(figure); // before the picture is there: figures stay in the package's order
  const picture = await ask(path).then((answer) => answer.blob(), () => null);
  if (picture) figure.prepend(el("img", { src: URL.createObjectURL(picture), alt: name }));
  else figure.remove();
}

/** The README's section on limits, as plain text. */
async function showLimits(node, model) {
  const path = `/models/${encodeURIComponent(model.name)}/files/README.md`;
  const text = await ask(path).then((answer) => answer.text(), () => "");
  const found = text.match(/^## Limits\s+([\s\S]*?)(?=^## |$(?![\s\S]))/m);
  if (found) node.replaceChildren(el("h4", {}, "Limits"), el("p", {}, found[1].trim()));
}
