/** Stacked canvases that zoom and move together. The compositor moves them; no pixel is repainted. */
import { el } from "./dom.js";

const LIMITS = { least: 0.02, most: 64 };

/** Events: "point" with {x, y} of a pixel or null in detail; "move" when the view has changed. */
export class Viewer extends EventTarget {
  constructor(root) {
    super();
    this.root = root;
    this.sheet = el("div", { class: "sheet" });
    this.layers = new Map();
    this.size = null;
    this.place = { scale: 1, x: 0, y: 0 };
    this.touches = new Map();
    root.append(this.sheet);
    root.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    root.addEventListener("pointerdown", (event) => this.#down(event));
    root.addEventListener("pointermove", (event) => this.#move(event));
    // One finger scrolls the page past an image that fits; two are the image's.
    root.addEventListener("touchmove", (event) => event.touches.length > 1 && event.preventDefault(), { passive: false });
    for (const end of ["pointerup", "pointercancel"]) root.addEventListener(end, (event) => this.touches.delete(event.pointerId));
    root.addEventListener("pointerleave", () => this.#point(null));
    root.addEventListener("keydown", (event) => this.#key(event));
    root.addEventListener("dblclick", () => this.fit());
    new ResizeObserver(() => this.fitted && this.fit()).observe(root);
  }

  /** Returns the canvas of a name, created above the others on first use. */
  layer(name) {
    if (!this.layers.has(name)) {
      const canvas = el("canvas", { class: `layer ${name}`, "aria-hidden": "true" });
      this.layers.set(name, canvas);
      this.sheet.append(canvas);
    }
    return this.layers.get(name);
  }

  clear(name) {
    const canvas = this.layers.get(name);
    if (canvas) canvas.width = canvas.height = 0;
  }

  /** Of all layers, in the image's pixels. */
  resize(width, height) {
    this.size = { width, height };
    this.sheet.style.width = `${width}px`;
    this.sheet.style.height = `${height}px`;
    this.fit();
  }

  empty() {
    for (const name of this.layers.keys()) this.clear(name);
    this.size = null;
    this.#point(null);
  }

  fit() {
    const { clientWidth, clientHeight } = this.root;
    if (!this.size || !clientWidth) return;
    const { width, height } = this.size;
    const scale = Math.min((clientWidth - 16) / width, (clientHeight - 16) / height, LIMITS.most);
    this.show({ scale, x: (clientWidth - width * scale) / 2, y: (clientHeight - height * scale) / 2 });
    this.fitted = true;
    this.root.classList.add("fitted");
  }

  show(place) {
    this.place = place;
    this.fitted = false;
    this.root.classList.remove("fitted");
    this.sheet.style.transform = `translate(${place.x}px, ${place.y}px) scale(${place.scale})`;
    this.sheet.classList.toggle("pixels", place.scale > 2);
    this.dispatchEvent(new CustomEvent("move", { detail: place }));
  }

  /** Zooms about a point of the view, the centre by default. */
  zoom(factor, at = { x: this.root.clientWidth / 2, y: this.root.clientHeight / 2 }) {
    if (!this.size) return;
    const scale = Math.max(LIMITS.least, Math.min(LIMITS.most, this.place.scale * factor));
    const grown = scale / this.place.scale;
    this.show({ scale, x: at.x - (at.x - this.place.x) * grown, y: at.y - (at.y - this.place.y) * grown });
  }

  pan(dx, dy) {
    if (this.size) this.show({ ...this.place, x: this.place.x + dx, y: this.place.y + dy });
  }

  /** The pixel at a point of the view, or null. */
  pixel({ x, y }) {
    if (!this.size) return null;
    const found = { x: Math.floor((x - this.place.x) / this.place.scale), y: Math.floor((y - this.place.y) / this.place.scale) };
    const inside = found.x >= 0 && found.y >= 0 && found.x < this.size.width && found.y < this.size.height;
    return inside ? found : null;
  }

  #point(pixel) {
    this.dispatchEvent(new CustomEvent("point", { detail: pixel }));
  }

  #at(event) {
    const box = this.root.getBoundingClientRect();
    return { x: event.clientX - box.left - this.root.clientLeft, y: event.clientY - box.top - this.root.clientTop };
  }

  #wheel(event) {
    if (!this.size) return;
    event.preventDefault();
    this.zoom(Math.exp(-event.deltaY * (event.deltaMode === 1 ? 0.05 : 0.0018)), this.#at(event));
  }

  #down(event) {
    if (event.button > 0 || !this.size) return;
    this.touches.set(event.pointerId, this.#at(event));
    this.root.setPointerCapture(event.pointerId);
  }

  #move(event) {
    const now = this.#at(event);
    this.#point(this.pixel(now));
    const before = this.touches.get(event.pointerId);
    if (!before) return;
    const other = [...this.touches].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const apart = (point) => Math.hypot(point.x - other.x, point.y - other.y) || 1;
      this.zoom(apart(now) / apart(before), { x: (before.x + other.x) / 2, y: (before.y + other.y) / 2 });
    }
    const share = other ? 0.5 : 1;
    if (!this.fitted || other || event.pointerType === "mouse") this.pan((now.x - before.x) * share, (now.y - before.y) * share);
    this.touches.set(event.pointerId, now);
  }

  #key(event) {
    const step = event.shiftKey ? 160 : 40;
    const keys = {
      ArrowLeft: () => this.pan(step, 0), ArrowRight: () => this.pan(-step, 0),
      ArrowUp: () => this.pan(0, step), ArrowDown: () => this.pan(0, -step),
      "+": () => this.zoom(1.25), "=": () => this.zoom(1.25), "-": () => this.zoom(0.8), 0: () => this.fit(),
    };
    if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keys[event.key]();
    this.#point(this.pixel({ x: this.root.clientWidth / 2, y: this.root.clientHeight / 2 })); // with keys: the centre
  }
}

/** Makes two viewers move together. */
export function together(one, other) {
  const follow = (from, to) => from.addEventListener("move", ({ detail }) => {
    if (to.size && JSON.stringify(to.place) !== JSON.stringify(detail)) to.show(detail);
  });
  follow(one, other);
  follow(other, one);
}
