/** Colour maps that are even in lightness and that colour-blind people can read, and how maps are laid over images. */

// Every sixteenth colour of matplotlib's maps (CC0), which the service has too; between them it is linear.
const POINTS = {
  inferno: "0000040b0724210c4a3d096557106e71196e8a226aa32c61bc3754d24644e45a31f1731df98e09fcac11f9cb35f2ea69fcffa4",
  viridis: "44015448186a472d7b4240863b528b33638d2c728e26828e21918c1fa08828ae803fbc735ec96284d44baddc30d8e219fde725",
  magma: "0000040a08221d114736106b51127c6a1c818326819c2e7fb73779d0416fe75263f56b5cfc8961fea772fec488fde2a3fcfdbf",
  gray: "000000ffffff",
};
export const COLOUR_MAPS = Object.keys(POINTS);

/** Name -> 256 colours as numbers whose bytes are R, G, B, 0 in memory. */
export function colours(name) {
  const hex = POINTS[name];
  const last = hex.length / 6 - 1;
  const channel = (point, c) => parseInt(hex.slice(point * 6 + c * 2, point * 6 + c * 2 + 2), 16);
  return Uint32Array.from({ length: 256 }, (_, i) => {
    const place = (i / 255) * last;
    const from = Math.min(Math.floor(place), last - 1);
    const [r, g, b] = [0, 1, 2].map((c) => Math.round(channel(from, c) + (place - from) * (channel(from + 1, c) - channel(from, c))));
    return r | (g << 8) | (b << 16);
  });
}

/** A map over an image: what is above zero in colour, the more opaque the larger; the rest of the image stays as it is. */
export function paintMap(canvas, { width, height, values, most }, name) {
  canvas.width = width;
  canvas.height = height;
  const table = colours(name);
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const gain = most > 0 ? 255 / most : 0;
  for (let i = 0; i < pixels.length; i++) {
    const level = values[i] > 0 ? Math.min(255, Math.round(values[i] * gain)) : 0;
    pixels[i] = (table[level] | (level << 24)) >>> 0;
  }
  context.putImageData(image, 0, 0);
}

/** The colour map itself as a strip, darkest at the left. */
export function paintScale(canvas, name) {
  canvas.width = 256;
  canvas.height = 1;
  const context = canvas.getContext("2d");
  const image = context.createImageData(256, 1);
  const opaque = colours(name).map((colour) => (colour | 0xff000000) >>> 0);
  new Uint32Array(image.data.buffer).set(opaque);
  context.putImageData(image, 0, 0);
}

/** "#rrggbb" -> [r, g, b]. */
export const parts = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
