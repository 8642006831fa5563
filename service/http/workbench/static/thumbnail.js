/** Thumbnails, painted when they first come near the window, so that 500 are not decoded at once. */
import { el } from "./dom.js";
import { paintPicture, readPicture } from "./picture.js";

const SIDE = 160;
const files = new WeakMap();
const near = new Set(); // canvases to be painted
let painting = false;

const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) near[isIntersecting ? "add" : "delete"](target);
  paintNear();
}, { rootMargin: "300px" });

export function thumbnail(file) {
  const canvas = el("canvas", { width: SIDE, height: SIDE, "aria-hidden": "true" });
  files.set(canvas, file);
  watcher.observe(canvas);
  return canvas;
}

/** Paints one at a time, so that the page stays responsive. */
async function paintNear() {
  if (painting) return;
  painting = true;
  for (const canvas of near) {
    near.delete(canvas);
    watcher.unobserve(canvas);
    await paint(canvas, files.get(canvas));
  }
  painting = false;
}

/** Paints the centre square of the picture, windowed by percentiles. */
async function paint(canvas, file) {
  const picture = await readPicture(file);
  if (picture.hidden) return canvas.replaceWith(el("span", { class: "nothumb" }, file.name.split(".").pop().toUpperCase()));
  const whole = new OffscreenCanvas(1, 1);
  paintPicture(whole, picture);
  const { width, height } = picture;
  const side = Math.min(width, height);
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = side > SIDE;
  context.drawImage(whole, (width - side) / 2, (height - side) / 2, side, side, 0, 0, SIDE, SIDE);
}
