const KINDS = { "<f4": Float32Array, "|u1": Uint8Array };

/** NumPy's format 1.0 with float32 (little-endian) or uint8, as the service sends it -> {shape, values}. */
export function parseNpy(buffer) {
  const view = new DataView(buffer);
  const length = view.getUint16(8, true);
  const header = new TextDecoder("latin1").decode(new Uint8Array(buffer, 10, length));
  const Kind = KINDS[header.match(/'descr': '([^']*)'/)?.[1]];
  if (view.getUint8(0) !== 0x93 || !Kind || header.includes("'fortran_order': True")) {
    throw new Error(`The numbers are in a form that this page does not read: ${header.slice(0, 100)}`);
  }
  const shape = header.match(/'shape': \(([^)]*)\)/)[1].split(",").filter((part) => part.trim()).map(Number);
  return { shape, values: new Kind(buffer.slice(10 + length)) };
}
