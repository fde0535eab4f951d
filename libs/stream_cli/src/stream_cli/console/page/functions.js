// Functions: how often each was invoked, how long that took, what failed.
import { bytes, count, duration, exactly, plural, time } from "./format.js";
import { html } from "./html.js";
import { useLoaded } from "./live.js";
import { Log } from "./log.js";
import { Measures } from "./measures.js";
import { Panel } from "./panel.js";
import { encoded, link } from "./route.js";

// What Lambda gives as a number; its MB of memory are 1024 KiB.
const UNITS = { MemorySize: (value) => `${count(value)} MB`, Timeout: (value) => `${count(value)} s`, CodeSize: bytes };

export function Functions({ route }) {
  const { content, error } = useLoaded("functions", { kinds: ["call"] });
  if (error && !content) return html`<p class="problem" role="alert">${error.message}</p>`;
  if (!content) return html`<p role="status">Loading</p>`;
  return html`
    <div class=${`split ${route.what ? "split-open split-half" : ""}`}>
      <section class="events faults" aria-label="All functions">
        <div class="card wide" tabindex="0" role="region" aria-label="Functions in the last hour">
          <table class="stacks">
            <thead><tr><th scope="col">Function</th>
              ${["Invocations", "Failed", "Average", "Longest", "Last"].map((each) => html`<th key=${each} scope="col" class="number">${each}</th>`)}
            </tr></thead>
            <tbody>${content.functions.map((each) => html`<${Row} key=${each.name} each=${each} open=${each.name === route.what} />`)}</tbody>
          </table>
          ${!content.functions.length && html`<p>There is no function.</p>`}
        </div>
      </section>
      ${route.what && html`<${One} key=${route.what} name=${route.what} />`}
    </div>`;
}

function Row({ each, open }) {
  return html`
    <tr>
      <th scope="row"><a href=${link("functions", each.name)} aria-current=${open ? "true" : null}>${each.name}</a></th>
      <td data-label="Invocations" class="number">${count(each.invocations)}</td>
      <td data-label="Failed" class=${`number ${each.failed ? "problem" : ""}`}>${count(each.failed)}</td>
      <td data-label="Average" class="number">${each.invocations ? duration(each.ms / each.invocations) : "—"}</td>
      <td data-label="Longest" class="number">${each.invocations ? duration(each.most_ms) : "—"}</td>
      <td data-label="Last" class="number">${each.last ? time(each.last) : "—"}</td>
    </tr>`;
}

function One({ name }) {
  const { content, error } = useLoaded(`functions/${encoded(name)}`, { kinds: ["call"] });
  const close = () => { location.hash = link("functions"); };
  return html`
    <${Panel} label="Function" head=${name} close=${close}>
      ${error && html`<p class="problem" role="alert">${error.message}</p>`}
      ${content && html`
        <dl class="facts">${Object.entries(content.settings).map(([each, value]) => html`<dt key=${each}>${each}</dt><dd>${UNITS[each]?.(value) ?? value}</dd>`)}</dl>
        <${Measures} name=${name} />
        <${Log} name=${name} />
        <${Calls} title="Failed" calls=${content.failed} />
        <${Calls} title="Last invocations" calls=${content.last} />`}
    <//>`;
}

function Calls({ title, calls }) {
  return html`
    <h3>${title}</h3>
    ${calls.length ? html`<ol class="failures">${calls.map((call) => html`
      <li key=${call.request}><time datetime=${exactly(call.at)}>${time(call.at)}</time>${" "}
        <a href=${link("trace", call.request)}>${duration(call.ms)}</a>
        ${call.records ? `, ${plural(call.records, "record")}` : ""}${call.init ? `, cold start ${duration(call.init)}` : ""}
        ${call.reported ? html`, <span class="warns">${plural(call.reported, "record")} to be tried again</span>` : ""}
        ${call.error && html`<br /><strong class="problem">${call.error}</strong>`}</li>`)}</ol>` : html`<p class="quiet">None.</p>`}`;
}
