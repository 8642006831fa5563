/** Requests to the service. Every failure is a Refusal with a readable message. */
import { byId } from "./dom.js";

let key = ""; // in memory alone

export class Refusal extends Error {
  constructor(sentence, { code, status = 0, retryAfter = 0 }) {
    super(sentence);
    Object.assign(this, { code, status, retryAfter });
  }
}

/** Sends a GET, or a POST of a form if `image` is given; prompts for an API key if needed. */
export async function ask(path, { image = null, fields = {}, signal } = {}) {
  for (;;) {
    const used = key;
    const answer = await send(path, { image, fields, signal });
    if (answer.ok) return answer;
    const refusal = await toRefusal(answer);
    const barred = refusal.status === 401 || refusal.code === "scope_missing";
    if (!barred || (used === key && !(await askForKey(refusal.message)))) throw refusal;
  }
}

export const askJson = async (path, options) => (await ask(path, options)).json();

export const hasKey = () => key !== "";

/** The decoded value of an X-Striate-* header. */
export function fact(answer, name) {
  const text = answer.headers.get(`X-Striate-${name}`);
  return text === null ? null : decodeURIComponent(text);
}

async function send(path, { image, fields, signal }) {
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  let body;
  if (image) {
    body = new FormData();
    body.append("image", image, "image");
    for (const [name, value] of Object.entries(fields)) if (value !== null && value !== "") body.append(name, value);
  }
  try {
    return await fetch(path, { method: image ? "POST" : "GET", headers, body, signal });
  } catch (error) {
    if (signal?.aborted) throw error;
    const sentence = `The service at ${location.host} does not answer. It may be stopped, or the connection is down.`;
    throw new Refusal(sentence, { code: "unreachable" });
  }
}

async function toRefusal(answer) {
  const retryAfter = Number(answer.headers.get("Retry-After")) || 0;
  const problem = await answer.json().catch(() => ({ error: `The service answered with status ${answer.status}.`, code: "unknown" }));
  return new Refusal(problem.error, { code: problem.code, status: answer.status, retryAfter });
}

let prompt = null; // one dialog for all requests that wait for a key

function askForKey(why) {
  prompt ??= new Promise((resolve) => {
    const dialog = byId("key");
    const field = byId("key-value");
    byId("key-why").textContent = why;
    field.value = "";
    dialog.returnValue = "";
    dialog.addEventListener("close", () => {
      prompt = null;
      const given = dialog.returnValue === "use" ? field.value.trim() : "";
      field.value = "";
      if (given) key = given;
      resolve(given !== "");
    }, { once: true });
    dialog.showModal();
  });
  return prompt;
}
