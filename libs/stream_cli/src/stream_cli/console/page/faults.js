// Faults in groups, and one of them with its stack and its record.
import { useEffect, useRef } from "preact/hooks";
import { exactly, plural, time } from "./format.js";
import { html } from "./html.js";
import { Json } from "./json.js";
import { useLoaded } from "./live.js";
import { link } from "./route.js";

export function Faults({ route }) {
  const { content, error } = useLoaded("faults", { kinds: ["event"] });
  if (error && !content) return html`<p class="problem" role="alert">${error.message}</p>`;
  if (!content) return html`<p role="status">Loading</p>`;
  const close = () => { location.hash = link("faults"); };
  return html`
    <div class=${`split ${route.what ? "split-open" : ""}`}>
      <section class="events faults" aria-label="Groups of faults">
        ${!content.groups.length && html`<p>No function has published a fault.</p>`}
        ${content.groups.map((group) => html`<${Group} key=${Object.values(group).slice(0, 4).join("\n")} group=${group} what=${route.what} />`)}
        ${content.older && html`<p class="quiet">There are more. <code>streamctl faults ls</code> lists all.</p>`}
      </section>
      ${route.what && html`<${Fault} key=${route.what} id=${route.what} close=${close} />`}
    </div>`;
}

function Group({ group, what }) {
  return html`
    <section class="card" aria-label=${`${group.error} in ${group.service}`}>
      <h2><span class="problem">${group.error}</span> in ${group.service} <span class="quiet">${plural(group.count, "fault")}</span></h2>
      <p class="message">${group.message}</p>
      <dl class="facts"><dt>Function</dt><dd>${group.function}</dd><dt>Pipeline</dt><dd>${group.pipeline}</dd>
        <dt>Last</dt><dd><time datetime=${exactly(group.last)}>${time(group.last)}</time></dd></dl>
      <ul class="ids">${group.ids.map((id) => html`
        <li key=${id}><a href=${link("faults", id)} aria-current=${id === what ? "true" : null}>${id}</a></li>`)}</ul>
      ${group.count > group.ids.length && html`<p class="quiet">and ${plural(group.count - group.ids.length, "older one")}</p>`}
    </section>`;
}

function Fault({ id, close }) {
  const { content: fault, error } = useLoaded(`faults/${encodeURIComponent(id)}`);
  const head = useRef(null);
  useEffect(() => head.current?.focus(), [id]);
  return html`
    <section class="event" aria-label="Fault" onKeyDown=${(event) => event.key === "Escape" && close()}>
      <div class="event-head"><h2 tabindex="-1" ref=${head}>${fault ? fault.error : "Fault"}</h2>
        <button type="button" class="close" onClick=${close} aria-label="Close the fault">✕</button></div>
      ${error && html`<p class="problem" role="alert">${error.message}</p>`}
      ${fault && html`
        <p class="message">${fault.message}</p>
        <dl class="facts">
          <dt>Id</dt><dd><a href=${link("trace", fault.id)}>${fault.id}</a></dd>
          <dt>Function</dt><dd>${fault.function}</dd><dt>Pipeline</dt><dd>${fault.pipeline}</dd>
          <dt>Time</dt><dd>${time(fault.at)}${fault.times > 1 ? `, the last of ${fault.times} times` : ""}</dd></dl>
        <h3>Stack</h3><pre class="command" tabindex="0">${fault.stack || "none"}</pre>
        <h3>Resubmit</h3><pre class="command" tabindex="0">${fault.resubmit}</pre>
        <h3>Unit of work</h3><${Json} value=${fault.uow} />`}
    </section>`;
}
