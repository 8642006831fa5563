/** The API calls that reproduce the results shown, for curl and for Python's standard library. */
import { hasKey } from "./api.js";
import { el, section } from "./dom.js";

/** calls: [{title, path, fields, save}] for the file; empty fields are omitted. A sample is downloaded first. */
export function callsCard(calls, file) {
  const sample = { title: "The sample", path: file.path, fields: {}, save: file.name };
  const about = calls.map((call) => ({ ...call, file: file.name }));
  const blocks = [...(file.path ? [sample] : []), ...about].flatMap((call) => [
    el("h3", {}, call.title),
    copyable("curl", curl(call)),
    copyable("Python", python(call)),
  ]);
  return el("details", { class: "card calls" }, el("summary", {}, "Show the call"), ...blocks);
}

const given = (fields) => Object.entries(fields).filter(([, value]) => value !== null && value !== undefined && value !== "");
const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

export function curl({ path, fields, file, save }) {
  const parts = ["curl", "--fail-with-body"];
  if (hasKey()) parts.push('-H "Authorization: Bearer $STRIATE_KEY"');
  if (file) parts.push(`-F ${quoted(`image=@${curlName(file)}`)}`);
  for (const [name, value] of given(fields)) parts.push(`--form-string ${quoted(`${name}=${value}`)}`);
  parts.push(quoted(`${location.origin}${path}`));
  if (save) parts.push(`-o ${quoted(save)}`);
  return parts.join(" ");
}

/** curl interprets `;` and `,` in a file name unless the name is in double quotes. */
const curlName = (name) => (/[;,"\\]/.test(name) ? `"${name.replace(/["\\]/g, "\\$&")}"` : name);

export function python({ path, fields, file, save }) {
  const query = new URLSearchParams(given(fields).map(([name, value]) => [name, String(value)])).toString();
  const headers = file ? ['"Content-Type": "application/octet-stream"'] : [];
  if (hasKey()) headers.push('"Authorization": "Bearer " + os.environ["STRIATE_KEY"]');
  return [
    save ? null : "import json",
    hasKey() ? "import os" : null,
    "import urllib.request",
    "",
    ...(file ? [`with open(${JSON.stringify(file)}, "rb") as file:`, "    image = file.read()"] : []),
    "request = urllib.request.Request(",
    `    ${JSON.stringify(`${location.origin}${path}${query ? `?${query}` : ""}`)},`,
    ...(file ? ["    data=image,"] : []),
    `    headers={${headers.join(", ")}},`,
    ")",
    "with urllib.request.urlopen(request) as answer:",
    ...(save
      ? [`    with open(${JSON.stringify(save)}, "wb") as file:`, "        file.write(answer.read())"]
      : ["    print(json.dumps(json.load(answer), indent=2))"]),
  ].filter((line) => line !== null).join("\n");
}

function copyable(title, text) {
  const code = el("code", {}, text);
  const button = el("button", { type: "button", class: "copy", "aria-label": `Copy the ${title} call` }, "Copy");
  button.addEventListener("click", async () => {
    const done = await copy(text, code);
    button.textContent = done ? "Copied" : "Selected";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
  return el("div", { class: "code" }, el("span", { class: "kind" }, title), button, el("pre", { tabindex: "0", "aria-label": `${title} call` }, code));
}

/** Without a clipboard (neither https nor localhost), selects the text instead. */
async function copy(text, node) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    getSelection().selectAllChildren(node);
    return false;
  }
}
