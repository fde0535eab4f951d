// One row: what it is now, and each change that made it so.
import { exactly, time } from "./format.js";
import { html } from "./html.js";
import { Json } from "./json.js";
import { useLoaded } from "./live.js";
import { Panel } from "./panel.js";
import { encoded, link } from "./route.js";

const CHANGES = { INSERT: "Put", MODIFY: "Changed", REMOVE: "Removed" };

export function Item({ table, of, close }) {
  const { content: row, error } = useLoaded(`items/${encoded(table)}/${encoded(of)}`, { kinds: ["change"] });
  return html`
    <${Panel} label="Row" head=${row ? row.keys.join(" / ") : "Row"} close=${close}>
      ${error && html`<p class="problem" role="alert">${error.message}</p>`}
      ${row && html`<${Facts} row=${row} />`}
    <//>`;
}

function Facts({ row }) {
  return html`
    <dl class="facts">${row.table.keys.map((key, place) => html`<dt key=${key.name}>${key.name}</dt><dd>${row.keys[place]}</dd>`)}</dl>
    <p><a class="button" href=${link("trace", row.keys[0])}>Trace its key</a></p>
    ${row.item === null ? html`<p class="warns">This row is not there any more.</p>` : html`
      <h3>JSON</h3><${Json} value=${row.item} />
      ${row.notes.length > 0 && html`<ul class="quiet">${row.notes.map((each) => html`<li key=${each.path}><code>${each.path}</code> is ${each.what}</li>`)}</ul>`}`}
    <h3>History</h3>
    ${row.changes.length ? html`<ol class="changes">${row.changes.map((each, place) => html`<${Change} key=${`${each.at} ${place}`} change=${each} />`)}</ol>`
      : html`<p class="quiet">No change of it is known.</p>`}
    <p class="quiet">${row.older ? "There are older changes." : row.since ? html`Changes are known since <time datetime=${exactly(row.since)}>${time(row.since)}</time>.` : ""}</p>`;
}

function Change({ change }) {
  return html`
    <li class="change">
      <p><strong>${change.expired ? "Removed by its time to live" : CHANGES[change.change]}</strong> at <time datetime=${exactly(change.at)} title=${exactly(change.at)}>${time(change.at)}</time>
        ${change.function && html` by <a href=${link("functions", change.function)}>${change.function}</a>`}
        ${change.request && html`, <a href=${link("trace", change.request)}>its invocation</a>`}
        ${change.events.map((each) => html`, for <a key=${each.id} href=${link("trace", each.id)}>${each.type || each.id}</a>`)}
        ${!change.request && !change.expired && html` <span class="quiet">by no function</span>`}</p>
      ${!change.has_old && html`<p class="quiet">What was before is not known: its stream has no old images.</p>`}
      ${change.attributes.length > 0 && html`
        <dl class="differences">${change.attributes.map((each) => html`
          <div key=${each.path}><dt>${each.path}</dt>
            <dd>${"old" in each && html`<del><span class="unseen">was </span>${brief(each.old)}</del>`}${"old" in each && "new" in each && " → "}${"new" in each && html`<ins><span class="unseen">is now </span>${brief(each.new)}</ins>`}</dd></div>`)}</dl>`}
    </li>`;
}

const LONGEST = 300;

function brief(value) {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  if (text.length <= LONGEST) return text;
  return html`${text.slice(0, LONGEST)}… <span class="quiet">${text.length} characters</span>`;
}
