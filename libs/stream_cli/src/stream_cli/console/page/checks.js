// Checks of the services, and sizes of their functions.
import { useEffect } from "preact/hooks";
import { bytes, exactly, plural, time } from "./format.js";
import { html } from "./html.js";
import { Job, useJob } from "./job.js";
import { useLoaded } from "./live.js";
import { Panel } from "./panel.js";
import { link } from "./route.js";

const LOOKS = { error: "problem", warning: "warns", note: "quiet" };

export function Checks({ route }) {
  const { content, error, again } = useLoaded("checks", { everyMs: 10_000 });
  const job = useJob("check");
  const done = job.job?.state;
  useEffect(() => { if (done && done !== "running") again(); }, [done, job.job?.done]);
  if (error && !content) return html`<p class="problem" role="alert">${error.message}</p>`;
  if (!content) return html`<p role="status">Loading</p>`;
  const rule = content.services.flatMap((each) => each.findings).find((each) => each.code === route.what);
  const close = () => { location.hash = link("checks"); };
  return html`
    <div class=${`split ${route.what ? "split-open" : ""}`}>
      <section class="events faults" aria-label="Services and functions">
        ${content.problem && html`<p class="quiet">${content.problem}</p>`}
        ${content.services.length > 0 && html`<p><button type="button" class="act" disabled=${done === "running"} onClick=${() => job.begin({})}>Check ${plural(content.services.length, "service")}</button></p>`}
        <${Job} of=${job} result=${(result) => html`<p>${plural(result.findings, "finding")}</p>`} />
        ${content.services.map((each) => html`<${Service} key=${each.folder} service=${each} what=${route.what} />`)}
        ${content.elsewhere.length > 0 && content.services.length > 0 && html`<p class="quiet">Not checked, as their folder is not known: ${content.elsewhere.join(", ")}.</p>`}
        <${Sizes} sizes=${content.sizes} limits=${content.limits} />
      </section>
      ${route.what && html`<${Rule} key=${route.what} code=${route.what} rule=${rule} close=${close} />`}
    </div>`;
}

function Service({ service, what }) {
  const { name, folder, at, older, findings } = service;
  return html`
    <section class="card" aria-label=${`Checks of ${name}`}>
      <h2>${name} <span class="quiet">${folder}</span></h2>
      ${at === null ? html`<p class="quiet">Not checked yet.</p>` : html`
        <p class=${older ? "warns" : "quiet"}>${findings.length ? plural(findings.length, "finding") : "Nothing found"} at <time datetime=${exactly(at)}>${time(at)}</time>${older ? "; its files have changed since: check again." : "."}</p>`}
      ${findings.length > 0 && html`<ul class="findings">${findings.map((each, place) => html`
        <li key=${place}><span class=${LOOKS[each.severity]}>${each.severity}</span> <a href=${link("checks", each.code)} aria-current=${each.code === what ? "true" : null}>${each.code}</a>
          <strong> ${[each.function, each.event].filter(Boolean).join(", ") || each.resource}</strong>: ${each.message}
          ${each.file && html`<br /><code>${each.file}:${each.line}</code>`}<br /><span class="quiet">${each.fix}</span></li>`)}</ul>`}
    </section>`;
}

function Rule({ code, rule, close }) {
  return html`
    <${Panel} label="Rule" head=${code} close=${close}>
      ${rule ? html`<p><strong>${rule.title}</strong> <span class=${LOOKS[rule.severity]}>${rule.severity}</span></p>
        <dl class="facts"><dt>Why</dt><dd>${rule.why}</dd><dt>Fix</dt><dd>${rule.fix}</dd></dl>` : html`<p>No finding is of this rule.</p>`}
      <p class="quiet">All rules are in libs/stream_cli/CHECKS.md. <code>streamctl check --explain ${code}</code></p>
    <//>`;
}

function Sizes({ sizes, limits }) {
  if (!sizes.length) return html`<p class="quiet">There is no function.</p>`;
  return html`
    <section class="card" aria-label="Sizes"><h2>Sizes <span class="quiet">as deployed; Lambda takes ${bytes(limits.zipped)} zipped and ${bytes(limits.unzipped)} unzipped</span></h2>
      <div class="wide" tabindex="0" role="region" aria-label="Sizes of functions"><table class="stacks">
        <thead><tr><th scope="col">Function</th><th scope="col" class="number">Zipped</th><th scope="col" class="number">Unzipped</th><th scope="col">Of the limit</th></tr></thead>
        <tbody>${sizes.map((each) => html`
          <tr key=${each.name}><th scope="row"><a href=${link("functions", each.name)}>${each.name}</a></th>
            <td data-label="Zipped" class="number">${each.zipped === null ? "—" : bytes(each.zipped)}</td>
            <td data-label="Unzipped" class="number">${each.unzipped === null ? "not known" : bytes(each.unzipped)}</td>
            <td data-label="Of the limit"><${Share} each=${each} limits=${limits} /></td></tr>`)}</tbody></table></div>
    </section>`;
}

function Share({ each, limits }) {
  const share = Math.max((each.zipped ?? 0) / limits.zipped, (each.unzipped ?? 0) / limits.unzipped);
  return html`<meter min="0" max="1" high="0.8" value=${Math.min(share, 1)} aria-label=${`Size of ${each.name}`}></meter> ${(share * 100).toFixed(1)} %`;
}
