/** A mask of numbers, drawn as areas, outlines or one object. */
import { ask, fact } from "./api.js";
import { parseNpy } from "./npy.js";
import { decodePng } from "./png.js";

const BITS = 16; // with more overlapping classes, each pixel shows one

/** {width, height, values, known: the values that are not background, labelsOf(value), outline: its painter}. */
export async function fetchMask({ model, file, signal }, measured) {
  const bits = model.classes_overlap && model.classes.length <= BITS;
  const answer = await ask("/segment", { image: file, fields: { model: model.name, format: bits ? "masks" : "labels" }, signal });
  if (bits) return ofBits(parseNpy(await answer.arrayBuffer()), JSON.parse(fact(answer, "Channels")));
  const picture = await decodePng(new Uint8Array(await answer.arrayBuffer()));
  const named = JSON.parse(fact(answer, "Values") ?? "{}");
  const classes = model.separates_objects
    ? (await measured).objects.map((object) => [object.id, object.label])
    : Object.entries(named).map(([value, label]) => [Number(value), label]);
  const labelOf = new Map(classes.filter(([value]) => value !== 0));
  return { ...picture, known: [...labelOf.keys()], labelsOf: (value) => (labelOf.has(value) ? [labelOf.get(value)] : []), outline: paintOutlines };
}

/** Overlapping classes: one bit each, so that a value holds all classes at a pixel. */
function ofBits({ shape: [count, height, width], values: layers }, labels) {
  const values = new Uint16Array(height * width);
  for (let c = 0, at = 0; c < count; c++) for (let i = 0; i < values.length; i++, at++) values[i] |= layers[at] << c;
  const labelsOf = (value) => labels.filter((_, c) => (value >> c) & 1);
  return { width, height, values, known: Array.from({ length: 2 ** count - 1 }, (_, i) => i + 1), labelsOf, outline: paintOutlinesOfBits };
}

/** tint: Uint32Array of 65,536 colours by value, 0 where a value is not shown. */
export function paintAreas(canvas, mask, tint) {
  paint(canvas, mask, (pixels, { values }) => {
    for (let i = 0; i < pixels.length; i++) pixels[i] = tint[values[i]];
  });
}

/** A pixel is on an outline if one of its four neighbours has another value. */
function paintOutlines(canvas, mask, tint) {
  paint(canvas, mask, (pixels, { values, width, height }) => {
    for (let y = 0, i = 0; y < height; y++) {
      for (let x = 0; x < width; x++, i++) {
        const value = values[i];
        if (value === 0) continue;
        const edge =
          x === 0 || y === 0 || x === width - 1 || y === height - 1 ||
          values[i - 1] !== value || values[i + 1] !== value || values[i - width] !== value || values[i + width] !== value;
        if (edge) pixels[i] = tint[value];
      }
    }
  });
}

/** The whole outline of each class, also inside other classes. */
function paintOutlinesOfBits(canvas, mask, tint) {
  paint(canvas, mask, (pixels, { values, width, height }) => {
    for (let y = 0, i = 0; y < height; y++) {
      for (let x = 0; x < width; x++, i++) {
        const inside = x > 0 && y > 0 && x < width - 1 && y < height - 1;
        const around = inside ? values[i - 1] & values[i + 1] & values[i - width] & values[i + width] : 0;
        pixels[i] = tint[values[i] & ~around];
      }
    }
  });
}

/** The bounding box of an object, and its pixels where the mask numbers objects. */
export function paintObject(canvas, mask, { bbox_px: box, id }, byObject) {
  const context = canvas.getContext("2d");
  if (canvas.width !== mask.width || canvas.height !== mask.height) {
    canvas.width = mask.width;
    canvas.height = mask.height;
  } else context.clearRect(0, 0, canvas.width, canvas.height);
  if (byObject) {
    const image = context.createImageData(box.width, box.height);
    const pixels = new Uint32Array(image.data.buffer);
    for (let y = 0, i = 0; y < box.height; y++) {
      for (let x = 0; x < box.width; x++, i++) {
        if (mask.values[(box.y + y) * mask.width + box.x + x] === id) pixels[i] = 0xd0ffffff;
      }
    }
    context.putImageData(image, box.x, box.y);
  }
  context.strokeStyle = "#ffffff";
  context.strokeRect(box.x - 1.5, box.y - 1.5, box.width + 3, box.height + 3);
}

function paint(canvas, mask, fill) {
  canvas.width = mask.width;
  canvas.height = mask.height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(mask.width, mask.height);
  fill(new Uint32Array(image.data.buffer), mask);
  context.putImageData(image, 0, 0);
}
