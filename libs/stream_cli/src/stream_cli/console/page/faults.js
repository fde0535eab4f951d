// Faults in groups, one of them with its stack and its record, and their resubmission.
import { useEffect, useRef, useState } from "preact/hooks";
import { exactly, plural, time } from "./format.js";
import { html } from "./html.js";
import { Job, useJob } from "./job.js";
import { Json } from "./json.js";
import { useLoaded } from "./live.js";
import { Panel } from "./panel.js";
import { Outcome, Resubmit, resubmitted } from "./resubmit.js";
import { encoded, link } from "./route.js";
import { Stack } from "./stack.js";

export function Faults({ route }) {
  const { content, error } = useLoaded("faults", { kinds: ["event"] });
  const ledger = useLoaded("resubmissions", { kinds: ["object", "event"] });
  const job = useJob("resubmit");
  const [asked, setAsked] = useState(null);
  const ask = (what) => {
    job.forget();
    setAsked(what);
  };
  const place = useRef(null);
  useEffect(() => { if (job.job?.ended) ledger.again(); }, [job.job?.ended]);
  if (error && !content) return html`<p class="problem" role="alert">${error.message}</p>`;
  if (!content) return html`<p role="status">Loading</p>`;
  const close = () => { location.hash = link("faults"); };
  const before = ledger.content?.entries ?? {};
  const problem = ledger.content?.problem ?? ledger.error?.message;

  async function begin(body) {
    const has = await job.begin(body);
    if (has) requestAnimationFrame(() => place.current?.querySelector(".job")?.scrollIntoView({ block: "nearest" }));
    return has;
  }

  return html`
    ${asked && html`<${Resubmit} asked=${asked} begin=${begin} error=${job.error} close=${() => setAsked(null)} />`}
    <div ref=${place}><${Job} of=${{ ...job, error: asked ? null : job.error }} result=${resubmitted} /></div>
    <div class=${`split ${route.what ? "split-open" : ""}`}>
      <section class="events faults" aria-label="Groups of faults">
        ${problem && content.groups.length > 0 && html`<p class="warns">${problem}</p>`}
        ${!content.groups.length && html`<p>No function has published a fault.</p>`}
        ${content.groups.length > 1 && html`<p><button type="button" onClick=${() => ask({ all: true })}>Resubmit all …</button></p>`}
        ${content.groups.map((group) => html`
          <${Group} key=${Object.values(group).slice(0, 4).join("\n")} group=${group} what=${route.what} before=${before} ask=${ask} />`)}
        ${content.older && html`<p class="quiet">There are more. <code>${content.all}</code> lists all.</p>`}
      </section>
      ${route.what && html`<${Fault} key=${route.what} id=${route.what} entry=${before[route.what]} close=${close} ask=${ask} />`}
    </div>`;
}

function Group({ group, what, before, ask }) {
  const { service, function: name, pipeline, error } = group;
  const done = group.ids.filter((id) => before[id]?.outcome === "done").length;
  return html`
    <section class="card" aria-label=${`${error} in ${service}`}>
      <div class="event-head"><h2><span class="problem">${error}</span> in ${service} <span class="quiet">${plural(group.count, "fault")}${done ? `, ${done} resubmitted` : ""}</span></h2>
        <button type="button" aria-label=${`Resubmit these of ${name}, ${error}`} onClick=${() => ask({ service, function: name, pipeline, error })}>Resubmit these …</button></div>
      <p class="message">${group.message}</p>
      <dl class="facts"><dt>Function</dt><dd>${name}</dd><dt>Pipeline</dt><dd>${pipeline}</dd>
        <dt>Last</dt><dd><time datetime=${exactly(group.last)}>${time(group.last)}</time></dd></dl>
      <ul class="ids">${group.ids.map((id) => html`
        <li key=${id}><a href=${link("faults", id)} aria-current=${id === what ? "true" : null}>${id}</a><${Outcome} entry=${before[id]} /></li>`)}</ul>
      ${group.count > group.ids.length && html`<p class="quiet">and ${plural(group.count - group.ids.length, "older one")}</p>`}
    </section>`;
}

function Fault({ id, entry, close, ask }) {
  const { content: fault, error } = useLoaded(`faults/${encoded(id)}`);
  return html`
    <${Panel} label="Fault" head=${fault ? fault.error : "Fault"} close=${close}>
      ${error && html`<p class="problem" role="alert">${error.message}</p>`}
      ${fault && html`
        <p class="message">${fault.message}</p>
        <dl class="facts">
          <dt>Id</dt><dd>${fault.id}</dd>
          <dt>Function</dt><dd><a href=${link("functions", fault.function)}>${fault.function}</a></dd><dt>Pipeline</dt><dd>${fault.pipeline}</dd>
          ${fault.where && html`<dt>Where</dt><dd><code>${fault.where}</code></dd>`}
          <dt>Time</dt><dd>${time(fault.at)}${fault.times > 1 ? `, the last of ${fault.times} times` : ""}</dd>
          <dt>Resubmitted</dt><dd>${entry ? html`<${Outcome} entry=${entry} />` : "not yet"}</dd></dl>
        <p class="buttons"><a class="button" href=${link("trace", fault.trace)}>What came of it</a>
          <button type="button" onClick=${() => ask({ id })}>Resubmit …</button></p>
        <h3>Stack</h3><${Stack} fault=${fault} />
        <h3>Unit of work</h3><${Json} value=${fault.uow} />
        <details class="more"><summary class="quiet">The command that resubmits it</summary><pre class="command" tabindex="0">${fault.resubmit}</pre></details>`}
    <//>`;
}
