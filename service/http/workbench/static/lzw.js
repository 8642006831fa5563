/** TIFF's LZW (TIFF 6.0, section 13): codes of 9 to 12 bits, the highest bit first. */

const [CLEAR, END, MOST] = [256, 257, 4096];

/** packed -> the first `size` bytes of what it holds, or fewer where it ends before. */
export function unpackLzw(packed, size) {
  const out = new Uint8Array(size);
  // What a code stands for has been put out before: it is a stretch of `out`.
  const [starts, lengths] = [new Uint32Array(MOST), new Uint16Array(MOST)];
  let [at, next, bits, held, count] = [0, END + 1, 9, 0, 0];
  for (let from = 0; at < size; ) {
    for (; count < bits && from < packed.length; count += 8) held = (held << 8) | packed[from++];
    if (count < bits) break;
    count -= bits;
    const code = (held >>> count) & ((1 << bits) - 1);
    if (code === END) break;
    if (code === CLEAR) {
      [next, bits] = [END + 1, 9];
      continue;
    }
    if (code >= next) throw new Error("its LZW data are damaged");
    const start = at;
    if (code < CLEAR) out[at++] = code;
    else for (let i = 0; i < lengths[code] && at < size; i++) out[at++] = out[starts[code] + i];
    if (next === MOST) continue;
    // The next code is this stretch and the byte that will follow it, which may not be there yet.
    [starts[next], lengths[next]] = [start, at - start + 1];
    if (++next === 1 << bits && bits < 12) bits++;
  }
  return out.subarray(0, at);
}
