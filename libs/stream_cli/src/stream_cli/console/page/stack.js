// The stack of an error: its places, with the source of the function's own code.
import { html } from "./html.js";

export function Stack({ fault }) {
  return html`
    ${fault.changed && html`<p class="warns">The source has changed since: what is deployed now has other lines here.</p>`}
    ${fault.problem && html`<p class="warns">${fault.problem}</p>`}
    <ol class="frames">${fault.frames.map((frame, place) => html`<${Place} key=${place} frame=${frame} />`)}</ol>
    <details class="more"><summary class="quiet">The whole text</summary><pre class="command" tabindex="0">${fault.stack || "none"}</pre></details>`;
}

function Place({ frame }) {
  return html`
    <li class=${frame.own ? "frame frame-own" : "frame"}>
      <span class="frame-place">${frame.file}:${frame.line}</span> <span class="quiet">in ${frame.name}</span>
      ${!frame.source?.length && frame.quoted && html`<pre class="source" tabindex="0" aria-label=${`${frame.file}, line ${frame.line}`}><code>${frame.quoted}</code></pre>`}
      ${frame.source?.length > 0 && html`
        <pre class="source" tabindex="0" aria-label=${`${frame.file}, line ${frame.line}`}>${frame.source.map((line, number) => {
          const at = frame.first + number;
          return html`<code key=${at} class=${at === frame.line ? "source-here" : ""}><span class="source-line">${at}</span>${line}${"\n"}</code>`;
        })}</pre>`}
      ${frame.changed && html`<p class="warns">When it failed, line ${frame.line} was: <code>${frame.quoted}</code></p>`}
    </li>`;
}
