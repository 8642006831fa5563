/** Activation maps as numbers, cached while their image is open, and the layout of two maps. */
import { ask, fact } from "./api.js";
import { paintMap } from "./colour.js";
import { parseNpy } from "./npy.js";
import { paintPicture } from "./picture.js";

/** A map: {width, height, values, most, label, probability, method}. Fetched once. */
export function classMap(bench, { model, label, method }) {
  const name = [model, label, method].join("\n");
  if (!bench.maps.has(name)) {
    const fetched = fetchMap(bench, { model, label, method });
    bench.maps.set(name, fetched);
    fetched.catch(() => bench.maps.delete(name)); // fetched again the next time
  }
  return bench.maps.get(name);
}

async function fetchMap({ file, signal }, fields) {
  const answer = await ask("/cam", { image: file, fields: { ...fields, format: "raw" }, signal });
  const { shape, values } = parseNpy(await answer.arrayBuffer());
  let most = 0;
  for (let i = 0; i < values.length; i++) if (values[i] > most) most = values[i];
  const [label, method] = [fact(answer, "Label"), fact(answer, "Method")];
  return { height: shape[0], width: shape[1], values, most, label, method, probability: Number(fact(answer, "Probability")) };
}

export const valueOf = (map, { x, y }) => map.values[y * map.width + x];

/** Shows one map; or two, split at `share` of the width; or two side by side. */
export function layOut({ viewer, second, picture }, { first, other, mode, colourMap, opacity, share }) {
  paintMap(viewer.layer("map"), first, colourMap);
  viewer.layer("map").style.opacity = opacity;
  if (!viewer.size) viewer.resize(first.width, first.height);
  viewer.clear("other");
  second.root.hidden = mode !== "side";
  if (mode === "swipe") {
    paintMap(viewer.layer("other"), other, colourMap);
    viewer.layer("other").style.opacity = opacity;
  }
  if (mode === "side") {
    if (!picture.hidden) paintPicture(second.layer("picture"), picture);
    paintMap(second.layer("map"), other, colourMap);
    second.layer("map").style.opacity = opacity;
    second.resize(other.width, other.height);
  }
  swipe(viewer, mode === "swipe" ? share : null);
  if (mode === "side") viewer.fit();
}

/** Left of the line the first map, right of it the other; null: the first alone. */
export function swipe(viewer, share) {
  viewer.layer("map").style.clipPath = share === null ? "" : `inset(0 ${(1 - share) * 100}% 0 0)`;
  viewer.layer("other").style.clipPath = share === null ? "" : `inset(0 0 0 ${share * 100}%)`;
  const line = viewer.layer("line");
  line.width = line.height = share === null ? 0 : 1;
  line.style.left = `${(share ?? 0) * 100}%`;
}

export function fade({ viewer, second }, opacity) {
  for (const canvas of [viewer.layer("map"), viewer.layer("other"), second.layer("map")]) canvas.style.opacity = opacity;
}
