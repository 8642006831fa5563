/** The first page of plain TIFFs, as microscopes and ImageJ write them: what a browser cannot show at all. */
import { unpackLzw } from "./lzw.js";
import { inflate } from "./png.js";

const SIZES = { 1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 16: 8 }; // type -> bytes
const ARRAYS = { // kind of number / bits
  "1/8": Uint8Array, "1/16": Uint16Array, "1/32": Uint32Array, "2/8": Int8Array, "2/16": Int16Array, "2/32": Int32Array,
  "3/32": Float32Array, "3/64": Float64Array,
};
const UNPACK = { 1: (packed) => packed, 5: unpackLzw, 8: inflate, 32946: inflate }; // by compression
const LAYOUTS = { 42: { word: 4, counted: 2, entry: 12, first: 4 }, 43: { word: 8, counted: 8, entry: 20, first: 8 } }; // 43: BigTIFF

/** bytes -> {width, height, channels, kind, values, pixelSizeUm}; an Error says what of the file is not read here. */
export async function decodeTiff(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const little = bytes[0] === 0x49;
  const tags = directory(view, little);
  const one = (tag, usual) => tags.get(tag)?.[0] ?? usual;
  const [width, height, samples, colour] = [one(256), one(257), one(277, 1), one(262, 1)];
  const Values = ARRAYS[`${one(339, 1)}/${one(258, 1)}`];
  if (!Values) throw new Error(`the page cannot read samples of ${one(258, 1)} bits`);
  if (samples > 1 && one(284, 1) !== 1) throw new Error("the page cannot read planar channels");
  if (colour > 2) throw new Error("the page cannot read this colour space");
  if (one(274, 1) !== 1) throw new Error("the page cannot read rotated TIFFs");
  const values = await pixels(bytes, { tags, one, little, width, height, samples, Values });
  if (colour === 0 && one(339, 1) === 1) invert(values, 2 ** one(258) - 1);
  const channels = samples >= 3 ? 3 : 1;
  const kept = samples === channels ? values : values.filter((_, i) => i % samples < channels);
  const kind = Values.name.replace("Array", "").toLowerCase();
  return { width, height, channels, kind, values: kept, pixelSizeUm: pixelSize(tags, one) };
}

/** The file's first directory: tag -> its values, text as one string. */
function directory(view, little) {
  const layout = LAYOUTS[view.getUint16(2, little)];
  if (!layout) throw new Error("this is not a TIFF file");
  const { word, counted, entry, first } = layout;
  const read = (at, size) => unsigned(view, { at, size, little });
  const tags = new Map();
  const start = read(first, word);
  const count = read(start, counted);
  for (let at = start + counted; at < start + counted + count * entry; at += entry) {
    const [type, held] = [read(at + 2, 2), read(at + 4, word)];
    const size = SIZES[type];
    if (!size) continue;
    const value = at + 4 + word;
    const from = size * held <= word ? value : read(value, word);
    tags.set(read(at, 2), type === 2 ? [text(view, from, held)] : numbers(read, { from, held, type, size }));
  }
  return tags;
}

const text = (view, at, count) => new TextDecoder().decode(new Uint8Array(view.buffer, view.byteOffset + at, count));

function unsigned(view, { at, size, little }) {
  if (size === 8) return Number(view.getBigUint64(at, little));
  return size === 4 ? view.getUint32(at, little) : size === 2 ? view.getUint16(at, little) : view.getUint8(at);
}

function numbers(read, { from, held, type, size }) {
  const ratio = (at) => read(at, 4) / read(at + 4, 4);
  return Array.from({ length: held }, (_, i) => (type === 5 ? ratio(from + i * size) : read(from + i * size, size)));
}

function invert(values, most) {
  for (let i = 0; i < values.length; i++) values[i] = most - values[i];
}

/** Strips are tiles as wide as the image. */
async function pixels(bytes, { tags, one, little, width, height, samples, Values }) {
  const [unpack, predictor] = [UNPACK[one(259, 1)], one(317, 1)];
  if (!unpack) throw new Error(`the page cannot read TIFF compression ${one(259)}`);
  if (predictor > 2 || (predictor === 2 && one(339, 1) === 3)) throw new Error(`the page cannot read TIFF predictor ${predictor}`);
  const tiled = tags.has(322);
  const [tileWidth, tileHeight] = tiled ? [one(322), one(323)] : [width, Math.min(one(278, height), height)];
  const [offsets, counts] = tiled ? [tags.get(324), tags.get(325)] : [tags.get(273), tags.get(279)];
  const whole = new Values(width * height * samples);
  const across = Math.ceil(width / tileWidth);
  for (let i = 0; i < offsets.length; i++) {
    const [x, y] = [(i % across) * tileWidth, Math.floor(i / across) * tileHeight];
    const rows = tiled ? tileHeight : Math.min(tileHeight, height - y);
    const size = rows * tileWidth * samples * Values.BYTES_PER_ELEMENT;
    const plain = await unpack(bytes.subarray(offsets[i], offsets[i] + counts[i]), size);
    if (plain.length < size) throw new Error("the file is truncated");
    const part = native(plain.slice(0, size), { Values, little });
    if (predictor === 2) sum(part, { row: tileWidth * samples, samples });
    const wide = Math.min(tileWidth, width - x) * samples;
    for (let r = 0; r < Math.min(rows, height - y); r++) {
      whole.set(part.subarray(r * tileWidth * samples, r * tileWidth * samples + wide), ((y + r) * width + x) * samples);
    }
  }
  return whole;
}

/** Bytes in the file's order -> numbers. */
function native(bytes, { Values, little }) {
  const size = Values.BYTES_PER_ELEMENT;
  if (!little && size > 1) {
    for (let i = 0; i < bytes.length; i += size) bytes.subarray(i, i + size).reverse();
  }
  return new Values(bytes.buffer);
}

/** Undoes horizontal differences. */
function sum(part, { row, samples }) {
  for (let start = 0; start < part.length; start += row) {
    for (let i = samples; i < row; i++) part[start + i] += part[start + i - samples];
  }
}

/** From OME-XML, ImageJ's description, or pixels a centimetre; null where it is not known. */
function pixelSize(tags, one) {
  const description = one(270, "");
  const ome = description.match(/PhysicalSizeX="([\d.eE+-]+)"/);
  if (ome && !/PhysicalSizeXUnit="(?!µm|um)/.test(description)) return Number(ome[1]);
  const resolution = one(282, 0);
  if (!resolution) return null;
  if (description.startsWith("ImageJ") && /unit=(micron|um|µm|\\u00B5m)/.test(description)) return 1 / resolution;
  return one(296, 2) === 3 ? 1e4 / resolution : null;
}
