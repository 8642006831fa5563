/** A pad to draw a digit on, for models that classify small images of digits. */
import { el, number, percent, save, section } from "./dom.js";

const SIDE = 8; // side of the image sent, as in UCI's optical recognition of handwritten digits:
const BLOCK = 4; // a digit fills 32 x 32 black and white pixels; a value is how many of 4 x 4 are white, 0 to 16
const PEN = 4.5; // wide in those pixels

export const readsDigits = (model) =>
  model.task === "classification" && model.input.channels === 1 && model.input.height <= 32 &&
  model.classes.map((known) => known.label).join("") === "0123456789";

/** onimage: called with the drawing as a file, repeatedly while it grows -> /predict's answer. */
export function padCard(onimage) {
  const canvas = el("canvas", { class: "pad", width: 240, height: 240, role: "img", "aria-label": "Drawing pad: draw a digit with the mouse, a pen or a finger" });
  const strokes = [];
  let drawing = null;
  const read = el("output", { class: "digit", "aria-label": "Recognised digit" });
  const note = el("p", { class: "quiet small" });
  const classify = oneAtATime(async () => {
    if (!strokes.length) return;
    const start = performance.now();
    const answer = await onimage(await digit(strokes));
    if (!answer) return;
    const [{ name, probability }] = answer.classes;
    read.value = name;
    note.textContent = `${percent(probability)}. Answered in ${number(Math.round(performance.measure("drawn", { start }).duration))} ms.`;
  });
  const at = (event) => [(event.offsetX / canvas.clientWidth) * 240, (event.offsetY / canvas.clientHeight) * 240];
  const paint = () => draw(canvas.getContext("2d"), strokes, { width: 20, place: (point) => point, side: 240 });
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    strokes.push((drawing = [at(event)]));
    paint();
    classify();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drawing) return;
    drawing.push(at(event));
    paint();
    classify();
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (drawing = null));
  const wipe = () => {
    strokes.length = 0;
    read.value = note.textContent = "";
    paint();
  };
  const keep = async () => strokes.length && save("digit.png", await digit(strokes));
  paint();
  const buttons = el("div", { class: "row" }, el("button", { type: "button", onclick: wipe }, "Clear"), el("button", { type: "button", onclick: keep }, "Save"));
  return section("Draw a digit", null, el("div", { class: "drawing" }, canvas, el("div", {}, buttons, read, note)));
}

/** Runs `act`; calls during a run are merged into one further run. */
function oneAtATime(act) {
  let [wanted, busy] = [false, false];
  return async () => {
    wanted = true;
    if (busy) return;
    busy = true;
    try {
      while (wanted) {
        wanted = false;
        await act();
      }
    } finally {
      busy = false;
    }
  };
}

/** Strokes -> an 8 x 8 PNG, scaled to fit and centred. */
async function digit(strokes) {
  const points = strokes.flat();
  const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const fine = SIDE * BLOCK;
  const gain = (fine - PEN) / Math.max(right - left, bottom - top, 1);
  const place = ([x, y]) => [(x - (left + right) / 2) * gain + fine / 2, (y - (top + bottom) / 2) * gain + fine / 2];
  const context = new OffscreenCanvas(fine, fine).getContext("2d", { willReadFrequently: true });
  draw(context, strokes, { width: PEN, place, side: fine });
  const { data } = context.getImageData(0, 0, fine, fine);
  const small = new OffscreenCanvas(SIDE, SIDE);
  const image = new ImageData(SIDE, SIDE);
  image.data.fill(255);
  for (let i = 0; i < SIDE * SIDE; i++) image.data.fill(count(data, fine, i), i * 4, i * 4 + 3);
  small.getContext("2d").putImageData(image, 0, 0);
  return new File([await small.convertToBlob()], "digit.png", { type: "image/png" });
}

/** The number of white pixels in a block. */
function count(data, fine, block) {
  const [x, y] = [(block % SIDE) * BLOCK, Math.floor(block / SIDE) * BLOCK];
  let white = 0;
  for (let dy = 0; dy < BLOCK; dy++) for (let dx = 0; dx < BLOCK; dx++) white += data[((y + dy) * fine + x + dx) * 4] > 127;
  return white;
}

function draw(context, strokes, { width, place, side }) {
  context.fillStyle = "#000";
  context.fillRect(0, 0, side, side);
  Object.assign(context, { strokeStyle: "#fff", lineWidth: width, lineCap: "round", lineJoin: "round" });
  for (const stroke of strokes) {
    const [first, ...rest] = stroke.map(place);
    context.beginPath();
    context.moveTo(...first);
    for (const point of rest.length ? rest : [first]) context.lineTo(...point);
    context.stroke();
  }
}
