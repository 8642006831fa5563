/** The page: views, image input and models. */
import { askJson } from "./api.js";
import { showCards } from "./cards.js";
import { byId, el } from "./dom.js";
import { onDrop } from "./files.js";
import { SingleImage } from "./single_image.js";
import { ManyImages } from "./many_images.js";
import { offerSamples } from "./samples.js";

const VIEWS = ["look", "many", "models"];

async function start() {
  showView();
  addEventListener("hashchange", showView);
  try {
    const { models } = await askJson("/models");
    const ready = models.filter((model) => model.status === "ready");
    const look = new SingleImage(ready);
    new ManyImages(byId("many"), ready);
    bring(look);
    offerSamples(look, ready);
    whenShown("models", () => showCards(byId("models"), models));
    if (!ready.length) showProblem("No model is ready. The Models page gives the reasons.");
  } catch (error) {
    showProblem(error.message, start);
  }
}

function showProblem(sentence, again = null) {
  const button = again && el("button", { type: "button", onclick: () => (byId("problem").replaceChildren(), again()) }, "Try again");
  byId("problem").replaceChildren(el("div", { class: "problem" }, el("p", {}, sentence), button));
}

function showView() {
  const name = VIEWS.includes(location.hash.slice(1)) ? location.hash.slice(1) : "look";
  for (const view of VIEWS) byId(view).hidden = view !== name;
  for (const link of document.querySelectorAll(".top nav a")) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  dispatchEvent(new CustomEvent("view", { detail: name }));
}

function whenShown(name, act) {
  addEventListener("view", ({ detail }) => detail === name && act());
  if (!byId(name).hidden) act();
}

/** Chosen, dropped or pasted. */
function bring(look) {
  const take = (files) => files?.length && look.open(files[0]);
  const input = byId("file");
  input.onchange = () => {
    take(input.files);
    input.value = ""; // allows choosing the same file again
  };
  onDrop({ view: byId("look"), mark: byId("stage") }, (transfer) => take(transfer.files));
  addEventListener("paste", (event) => {
    if (!byId("look").hidden && event.clipboardData.files.length) take(event.clipboardData.files);
  });
}

start();
