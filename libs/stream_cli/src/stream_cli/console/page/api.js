// Asks the server. The token comes with the address, and is kept for further tabs of this origin.
const KEPT = "console-token";
const HEADER = "x-console-token";

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// Tells what each answer lacks: its path, and texts. Returns how to end that.
const listeners = new Set();
export function onAnswer(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function tell(path, content) {
  for (const listener of listeners) listener(path, content?.not_known ?? []);
}

export function takeToken() {
  const given = /^#token=([\w-]+)$/.exec(location.hash);
  if (!given) return;
  localStorage.setItem(KEPT, given[1]);
  history.replaceState(null, "", "/#/");
}

async function asked(path, options = {}) {
  const headers = { ...options.headers, [HEADER]: localStorage.getItem(KEPT) ?? "" };
  const answer = await fetch(`/api/${path}`, { ...options, headers, cache: "no-store" });
  if (answer.ok) return answer;
  const content = await answer.json().catch(() => ({}));
  tell(path.split("?")[0], content);
  const isTooLong = answer.status === 414 || answer.status === 431; // the server does not read such an address
  throw new Refused(answer.status, content.error ?? (isTooLong ? "This is too long to be looked for." : `The console answered ${answer.status}.`));
}

export async function get(path, query = {}, signal = undefined) {
  const given = Object.entries(query).filter(([, value]) => value);
  const text = new URLSearchParams(given).toString();
  const content = await (await asked(text ? `${path}?${text}` : path, { signal })).json();
  tell(path, content);
  return content;
}

export async function post(path, content) {
  const headers = { "content-type": "application/json" };
  return (await asked(path, { method: "POST", headers, body: JSON.stringify(content) })).json();
}

// Server-sent events, read by fetch: an EventSource cannot send the token.
export async function* follow(path, signal) {
  const answer = await asked(path, { signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (waiting + value).split(/\r?\n\r?\n/);
    waiting = parts.pop();
    for (const part of parts) {
      const lines = part.split(/\r?\n/).filter((line) => line.startsWith("data:"));
      if (lines.length) yield JSON.parse(lines.map((line) => line.slice(5)).join("\n"));
    }
  }
}
