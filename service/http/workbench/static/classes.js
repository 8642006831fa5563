/** The classification result: classes with probabilities, the model, and the time by stage. */
import { askJson } from "./api.js";
import { bar, el, number, percent, section } from "./dom.js";

const STAGES = ["decode", "preprocess", "queue", "infer", "postprocess", "encode"];

/** Asks /predict for all of the model's classes. */
export const predict = ({ model, file, signal }) =>
  askJson("/predict", { image: file, fields: { model: model.name, top_k: model.classes.length }, signal });

export function classesCard(answer, model) {
  const decided = answer.classes.filter((found) => found.decided);
  const verdict = decided.length ? decided.map((found) => found.name).join(", ") : "No class reaches its threshold";
  const shown = answer.nodes.length ? [tree(answer, model)] : [bars(answer.classes)];
  return section("What is it", null,
    el("p", { class: "verdict" }, verdict),
    warnings(answer.warnings),
    ...shown,
    el("p", { class: "quiet small" }, "The tick marks the decision threshold: bars that pass it count as positive."),
  );
}

function bars(classes) {
  const row = (found) =>
    el("li", { class: found.decided ? "decided" : "" },
      el("span", { class: "name" }, found.name),
      el("span", { class: "share" }, percent(found.probability)),
      bar(found.probability, { mark: found.threshold }),
      el("span", { class: "away" }, `, threshold ${percent(found.threshold)}, ${found.decided ? "positive" : "below threshold"}`),
    );
  const few = classes.slice(0, 10);
  const list = el("ol", { class: "bars" }, ...few.map(row));
  if (classes.length <= few.length) return list;
  const more = el("ol", { class: "bars" }, ...classes.slice(10).map(row));
  return el("div", {}, list, el("details", {}, el("summary", {}, `${classes.length - 10} less probable classes`), more));
}

/** The taxonomy as nested lists; an inner node has the sum over the classes below it. */
function tree(answer, model) {
  const parentOf = new Map([...model.classes, ...model.nodes].map((known) => [known.label, known.parent]));
  const all = [...answer.nodes, ...answer.classes];
  const branch = (parent) => {
    const below = all.filter((found) => (parentOf.get(found.label) ?? null) === parent);
    below.sort((a, b) => b.probability - a.probability);
    const items = below.map((found) =>
      el("li", { class: found.decided ? "decided" : "" },
        el("span", { class: "name" }, found.name),
        el("span", { class: "share" }, percent(found.probability)),
        bar(found.probability, { mark: found.threshold ?? null }),
        branch(found.label),
      ));
    return items.length ? el("ul", { class: "bars" }, ...items) : null;
  };
  return el("div", { class: "tree" }, branch(null));
}

export function warnings(found) {
  if (!found.length) return null;
  return el("ul", { class: "warnings", "aria-label": "Warnings" }, ...found.map((warning) => el("li", {}, warning.message)));
}

/** The model, the input and the time by stage. */
export function aboutCard(answer) {
  const { model, input, timings_ms: times } = answer;
  const total = STAGES.reduce((sum, stage) => sum + times[stage], 0);
  const pair = (name, value) => el("div", {}, el("dt", {}, name), el("dd", {}, value));
  const stages = STAGES.filter((stage) => times[stage] > 0);
  const strip = el("div", { class: "strip", "aria-hidden": "true" }, ...stages.map((stage) => {
    const part = el("span", { class: stage, title: stage });
    part.style.flexGrow = times[stage];
    return part;
  }));
  return section("Answered by", null,
    el("dl", { class: "facts" },
      pair("Model", `${model.name} ${model.version}`),
      pair("SHA-256", el("code", { class: "digest" }, model.sha256)),
      pair("Image", `${input.width} × ${input.height}, ${input.channels === 1 ? "grey" : "colour"}, ${input.dtype}, ${input.format}`),
      pair("Request", el("code", { class: "digest" }, answer.request_id)),
      pair("Time", `${number(total)} ms`),
    ),
    strip,
    el("ul", { class: "legend" }, ...stages.map((stage) => el("li", {}, el("span", { class: `dot ${stage}` }), `${stage} ${number(times[stage])} ms`))),
  );
}
