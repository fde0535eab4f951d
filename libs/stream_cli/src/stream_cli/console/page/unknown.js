// What the page's answers lack, because it is not known here: a stage on AWS records less than the local cloud.
import { useEffect, useState } from "preact/hooks";
import { onAnswer } from "./api.js";
import { html } from "./html.js";

export function NotKnown() {
  const [lacks, set] = useState({});
  useEffect(() => onAnswer((path, texts) => {
    set((before) => (JSON.stringify(before[path] ?? []) === JSON.stringify(texts) ? before : { ...before, [path]: texts }));
  }), []);
  const texts = [...new Set(Object.values(lacks).flat())];
  if (!texts.length) return null;
  return html`
    <details class="not-known"><summary>${texts.length === 1 ? texts[0] : `Not known here: ${texts.length} things`}</summary>
      ${texts.length > 1 && html`<ul>${texts.map((each) => html`<li key=${each}>${each}</li>`)}</ul>`}
    </details>`;
}
