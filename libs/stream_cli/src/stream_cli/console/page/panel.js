// What is opened beside a list. It has the focus first; Escape closes it; then the focus is where it came from.
import { useEffect, useRef } from "preact/hooks";
import { cameFrom } from "./focus.js";
import { html } from "./html.js";

const MARKED = "main [aria-current='true'], main [aria-selected='true']"; // of the list: what is open

export function Panel({ label, head, close, children }) {
  const own = useRef(null);
  const title = useRef(null);
  const latest = useRef(close);
  latest.current = close;
  useEffect(() => {
    const pressed = (event) => { if (closes(event)) latest.current(); };
    cameFrom.set(own.current, document.querySelector(MARKED));
    title.current.focus();
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, []);
  return html`
    <section class="event" aria-label=${label} ref=${own}>
      <div class="event-head"><h2 tabindex="-1" ref=${title}>${head}</h2>
        <button type="button" class="close" onClick=${close} aria-label=${`Close the ${label.toLowerCase()}`}>✕</button></div>
      ${children}
    </section>`;
}

// Escape, where it does not close a dialog or empty a field.
function closes({ key, target, defaultPrevented }) {
  return key === "Escape" && !defaultPrevented && !document.querySelector("dialog[open]") && !(target.matches?.("input") && target.value);
}
