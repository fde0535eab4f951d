// A value as a tree, of which only what is open exists: events may be large.
import { useState } from "preact/hooks";
import { html } from "./html.js";
import { plural } from "./format.js";

const MOST = 100;
const LONGEST = 2000;

export function Json({ value, name = null, open = true }) {
  if (value !== null && typeof value === "object") return html`<${Branch} value=${value} name=${name} open=${open} />`;
  return html`<div class="json-leaf"><${Name} name=${name} /><${Leaf} value=${value} /></div>`;
}

function Name({ name }) {
  return name === null ? null : html`<span class="json-name">${name}</span>: `;
}

function Branch({ value, name, open }) {
  const [isOpen, setOpen] = useState(open);
  const [most, setMost] = useState(MOST);
  const isList = Array.isArray(value);
  const members = isList ? value.map((each, place) => [place, each]) : Object.entries(value);
  const size = isList ? `[${members.length}]` : `{${members.length}}`;
  if (!members.length) return html`<div class="json-leaf"><${Name} name=${name} />${isList ? "[]" : "{}"}</div>`;
  return html`
    <details class="json" open=${isOpen} onToggle=${(event) => setOpen(event.currentTarget.open)}>
      <summary><${Name} name=${name} /><span class="quiet">${size}</span></summary>
      ${isOpen && members.slice(0, most).map(([each, member]) => html`
        <${Json} key=${each} name=${each} value=${member} open=${members.length <= 30 && !isLarge(member)} />`)}
      ${isOpen && members.length > most && html`
        <button type="button" onClick=${() => setMost(most * 10)}>${plural(members.length - most, "more", "more")}</button>`}
    </details>`;
}

const isLarge = (value) => value !== null && typeof value === "object" && Object.keys(value).length > 30;

function Leaf({ value }) {
  const [whole, setWhole] = useState(false);
  if (typeof value !== "string") return html`<span class="json-${value === null ? "null" : typeof value}">${String(value)}</span>`;
  const cut = !whole && value.length > LONGEST;
  return html`<span class="json-string">"${cut ? value.slice(0, LONGEST) : value}"</span>${
    cut && html` <button type="button" onClick=${() => setWhole(true)}>${plural(value.length - LONGEST, "more character")}</button>`}`;
}
