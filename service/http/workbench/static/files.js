/** Files and folders dropped on the page. */

/** Passes drops anywhere on the page to `take` while `view` is shown, and highlights `mark`. */
export function onDrop({ view, mark }, take) {
  const over = (event, is) => {
    if (view.hidden) return;
    event.preventDefault(); // or the browser would leave the page for the file
    mark.classList.toggle("over", is);
  };
  addEventListener("dragover", (event) => over(event, true));
  addEventListener("dragleave", (event) => over(event, event.relatedTarget !== null)); // null: it has left the window
  addEventListener("drop", (event) => {
    over(event, false);
    if (!view.hidden) take(event.dataTransfer);
  });
}

/** All dropped files, folders included -> [{file, path}]; skips hidden files. */
export async function droppedFiles(transfer) {
  const plain = [...transfer.files];
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return chosenFiles(plain);
  const found = [];
  for (let entry; (entry = entries.shift()); ) {
    if (isHidden(entry)) continue;
    if (entry.isFile) found.push({ file: await read(entry, "file"), path: entry.fullPath.slice(1) });
    else entries.unshift(...(await below(entry)));
  }
  return found;
}

export const chosenFiles = (files) =>
  [...files].filter((file) => !isHidden(file)).map((file) => ({ file, path: file.webkitRelativePath || file.name }));

const isHidden = ({ name }) => name.startsWith(".");

const read = (from, method) => new Promise((done, failed) => from[method](done, failed));

async function below(folder) {
  const reader = folder.createReader();
  const found = [];
  for (let some; (some = await read(reader, "readEntries")).length; ) found.push(...some); // at most 100 at a time
  return found.sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
}
