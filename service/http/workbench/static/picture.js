/** Reads a file's pixels unchanged, and chooses how they are displayed. */
import { decodePng } from "./png.js";
import { decodeTiff } from "./tiff.js";

const MOST = 16384; // a canvas's side

/** {width, height, channels, kind, values, pixelSizeUm, low, high}, or {hidden: why it is not displayed}. */
export async function readPicture(file) {
  try {
    const picture = await decode(new Uint8Array(await file.arrayBuffer()), file);
    if (Math.max(picture.width, picture.height) > MOST) return { hidden: `Not displayed: a side exceeds ${MOST} px.` };
    return { ...picture, ...usualWindow(picture) };
  } catch (error) {
    const why = error instanceof RangeError ? "the file is damaged" : error.message.replace(/\.$/, ""); // it points beyond its end
    return { hidden: `Not displayed: ${why}.` };
  }
}

async function decode(bytes, file) {
  if (bytes[0] === 0x89 && bytes[1] === 0x50) return (await decodePng(bytes)) ?? drawn(file);
  if ((bytes[0] === 0x49 && bytes[1] === 0x49) || (bytes[0] === 0x4d && bytes[1] === 0x4d)) return decodeTiff(bytes);
  return drawn(file);
}

/** What the browser decodes: 8 bits, upright, without colour conversion. */
async function drawn(file) {
  const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" }).catch(() => {
    throw new Error("this browser cannot decode it");
  });
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const rgba = context.getImageData(0, 0, width, height).data;
  const values = new Uint8Array(width * height * 3);
  for (let i = 0, at = 0; i < rgba.length; i += 4) {
    values[at++] = rgba[i];
    values[at++] = rgba[i + 1];
    values[at++] = rgba[i + 2];
  }
  return { width, height, channels: 3, kind: "uint8", values, pixelSizeUm: null };
}

const DIM = 64; // 8-bit images that are darker than this would be black to the eye

/** 8 bits as they are unless they are dim; more between the 0.1th and 99.9th percentile, as the service's overlays. */
function usualWindow(picture) {
  const found = fullWindow(picture);
  return picture.kind === "uint8" && found.high > DIM ? { ...found, low: 0, high: 255 } : found;
}

/** Between the 0.1th and 99.9th percentile; least and most are what can be chosen. */
export function fullWindow({ kind, values }) {
  const step = Math.max(1, Math.floor(values.length / 200_000)); // a subset is enough for display
  const sample = Float64Array.from({ length: Math.floor(values.length / step) }, (_, i) => values[i * step]).sort();
  const at = (share) => sample[Math.min(sample.length - 1, Math.floor(share * sample.length))];
  const [least, most] = kind === "uint8" ? [0, 255] : [sample[0], sample[sample.length - 1]];
  const [low, high] = [at(0.001), at(0.999)];
  return { low, high: high > low ? high : low + 1, least, most: most > least ? most : least + 1 };
}

/** Draws a picture on a canvas, black at `low` and white at `high`. */
export function paintPicture(canvas, { width, height, channels, values, low, high }) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const gain = 255 / (high - low);
  const pixels = image.data; // clamps by itself
  for (let i = 0, at = 0; i < pixels.length; i += 4, at += channels) {
    const red = (values[at] - low) * gain;
    pixels[i] = red;
    pixels[i + 1] = channels === 3 ? (values[at + 1] - low) * gain : red;
    pixels[i + 2] = channels === 3 ? (values[at + 2] - low) * gain : red;
    pixels[i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

/** The pixel's value as text: one number where the channels are alike. */
export function valueAt({ width, channels, values }, { x, y }) {
  const at = (y * width + x) * channels;
  const found = Array.from(values.subarray(at, at + channels), (value) => Number(value.toPrecision(5)));
  return new Set(found).size === 1 ? String(found[0]) : found.join(", ");
}
