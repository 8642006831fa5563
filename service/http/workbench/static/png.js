/** PNG files as the values that stand in them: a canvas would give 8 of 16 bits. */

const SAMPLES = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 }; // colour type -> samples a pixel

/** bytes -> {width, height, channels, kind, values, pixelSizeUm}; alpha is dropped. null where it is interlaced. */
export async function decodePng(bytes) {
  const { header, palette, data, pixelSizeUm } = chunks(bytes);
  const { width, height, depth, colour, interlaced } = header;
  if (interlaced) return null;
  const samples = SAMPLES[colour];
  const rowBytes = Math.ceil((width * samples * depth) / 8);
  const rows = await inflate(data, (rowBytes + 1) * height);
  unfilter(rows, { height, rowBytes, pixelBytes: Math.max(1, (samples * depth) / 8) });
  const read = depth === 16 ? sixteen : depth === 8 ? eight : few;
  const all = read(rows, { width: width * samples, height, rowBytes, depth });
  if (colour === 3) return { ...shape(width, height, 3), kind: "uint8", values: looked(all, palette), pixelSizeUm };
  const channels = samples > 2 ? 3 : 1;
  // Fewer bits than 8 are spread over 0 to 255, as every reader does.
  if (depth < 8) for (let i = 0; i < all.length; i++) all[i] *= 255 / (2 ** depth - 1);
  const values = samples === channels ? all : without(all, { samples, channels });
  return { ...shape(width, height, channels), kind: depth === 16 ? "uint16" : "uint8", values, pixelSizeUm };
}

export async function inflate(bytes, expected, format = "deflate") {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream(format));
  const found = new Uint8Array(await new Response(stream).arrayBuffer());
  if (found.length < expected) throw new Error("the file is truncated");
  return found;
}

const shape = (width, height, channels) => ({ width, height, channels });

function chunks(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found = { data: [], palette: null, header: null, pixelSizeUm: null };
  for (let at = 8; at + 8 <= bytes.length; ) {
    const length = view.getUint32(at);
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    const body = at + 8;
    if (type === "IHDR") {
      const [depth, colour, , , interlaced] = bytes.subarray(body + 8, body + 13);
      found.header = { width: view.getUint32(body), height: view.getUint32(body + 4), depth, colour, interlaced };
    } else if (type === "PLTE") found.palette = bytes.subarray(body, body + length);
    else if (type === "IDAT") found.data.push(bytes.subarray(body, body + length));
    else if (type === "pHYs" && bytes[body + 8] === 1) found.pixelSizeUm = 1e6 / view.getUint32(body); // px a metre
    at = body + length + 4;
  }
  const whole = new Blob(found.data);
  return { ...found, data: whole };
}

/** Undoes each row's filter in place; a row begins with the filter's number. */
function unfilter(rows, { height, rowBytes, pixelBytes }) {
  const step = rowBytes + 1;
  for (let y = 0; y < height; y++) {
    const start = y * step + 1;
    const filter = rows[start - 1];
    if (filter === 0) continue;
    for (let i = 0; i < rowBytes; i++) {
      const at = start + i;
      const left = i >= pixelBytes ? rows[at - pixelBytes] : 0;
      const up = y > 0 ? rows[at - step] : 0;
      if (filter === 1) rows[at] += left;
      else if (filter === 2) rows[at] += up;
      else if (filter === 3) rows[at] += (left + up) >> 1;
      else rows[at] += paeth(left, up, y > 0 && i >= pixelBytes ? rows[at - step - pixelBytes] : 0);
    }
  }
}

function paeth(left, up, corner) {
  const guess = left + up - corner;
  const a = Math.abs(guess - left), b = Math.abs(guess - up), c = Math.abs(guess - corner);
  return a <= b && a <= c ? left : b <= c ? up : corner;
}

function eight(rows, { width, height, rowBytes }) {
  const values = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) values.set(rows.subarray(y * (rowBytes + 1) + 1, (y + 1) * (rowBytes + 1)), y * width);
  return values;
}

function sixteen(rows, { width, height, rowBytes }) {
  const values = new Uint16Array(width * height);
  for (let y = 0, at = 0; y < height; y++) {
    let from = y * (rowBytes + 1) + 1;
    for (let x = 0; x < width; x++, from += 2) values[at++] = (rows[from] << 8) | rows[from + 1];
  }
  return values;
}

function few(rows, { width, height, rowBytes, depth }) {
  const values = new Uint8Array(width * height);
  const each = 8 / depth;
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const byte = rows[y * (rowBytes + 1) + 1 + Math.floor(x / each)];
      values[at++] = (byte >> (8 - depth * ((x % each) + 1))) & (2 ** depth - 1);
    }
  }
  return values;
}

function looked(indices, palette) {
  const values = new Uint8Array(indices.length * 3);
  for (let i = 0; i < indices.length; i++) values.set(palette.subarray(indices[i] * 3, indices[i] * 3 + 3), i * 3);
  return values;
}

function without(all, { samples, channels }) {
  const count = all.length / samples;
  const values = new all.constructor(count * channels);
  for (let i = 0; i < count; i++) for (let c = 0; c < channels; c++) values[i * channels + c] = all[i * samples + c];
  return values;
}
