// What is known of a node of the map that has no page of its own: a queue, a topic, a log group and others.
import { useEffect, useRef } from "preact/hooks";
import { href, labelOf } from "./diagram.js";
import { KINDS } from "./figures.js";
import { bytes, count, exactly, plural, time } from "./format.js";
import { html } from "./html.js";
import { useLoaded } from "./live.js";
import { encoded, link } from "./route.js";

const EVERY_MS = 10_000;

export function MapNode({ id, drawn, figures, close }) {
  const { content, error } = useLoaded(`map/${encoded(id)}`, { everyMs: EVERY_MS });
  const head = useRef(null);
  useEffect(() => head.current?.focus(), [id]);
  const name = content?.name ?? id;
  return html`
    <section class="card map-panel" aria-label=${`About ${name}`} onKeyDown=${(event) => event.key === "Escape" && close()}>
      <div class="event-head"><h2 tabindex="-1" ref=${head}>${name} <span class="quiet">${content && (KINDS[content.kind] ?? content.kind)}</span></h2>
        <button type="button" class="close" onClick=${close} aria-label=${`Close what is known of ${name}`}>✕</button></div>
      ${error && html`<p class="problem" role="alert">${error.message}</p>`}
      ${!content && !error && html`<p role="status">Loading</p>`}
      ${content && html`<${Known} known=${content} />`}
      ${content && html`<${Arrows} id=${id} drawn=${drawn} figures=${figures} />`}
    </section>`;
}

function Known({ known }) {
  const { full_name: name, stack, note, facts = [], problem, subscriptions, messages, lines, page } = known;
  return html`
    <dl class="facts">
      <dt>Name</dt><dd>${name}</dd>
      ${stack && html`<dt>Stack</dt><dd>${stack}</dd>`}
      ${note && html`<dt>Note</dt><dd>${note}</dd>`}
      ${facts.map(([label, value]) => html`<dt key=${label}>${label}</dt><dd key=${`${label} is`}>${shown(label, value)}</dd>`)}
    </dl>
    ${page && html`<p><a href=${href(page)}>More about it</a></p>`}
    ${problem && html`<p class="quiet">${problem}</p>`}
    ${subscriptions && html`<h3>Subscriptions</h3>
      ${subscriptions.length ? html`<ul class="map-subscriptions">${subscriptions.map((each, place) => html`<li key=${place}><${Subscription} of=${each} /></li>`)}</ul>` : html`<p class="quiet">There are none.</p>`}`}
    ${messages && messages.length > 0 && html`<h3>Last messages</h3>
      <ul>${messages.map((each) => html`<li key=${each.id}><time datetime=${exactly(each.at)}>${time(each.at)}</time> ${
        each.event ? html`<a href=${link("trace", each.event)}>event ${each.event}</a>` : html`message ${each.id}`}</li>`)}</ul>`}
    ${lines && html`<h3>Last lines</h3>
      ${lines.length ? html`<div class="log" tabindex="0" role="region" aria-label="Last lines, the newest at the end"><ol>${lines.map((each, place) => html`
        <li key=${place} class="log-line"><time datetime=${exactly(each.at)}>${time(each.at)}</time> ${each.text}</li>`)}</ol></div>` : html`<p class="quiet">There are none.</p>`}`}`;
}

function Subscription({ of: { protocol, endpoint, confirmed, filter, of_body: ofBody, letters } }) {
  return html`${protocol} ${endpoint || html`<span class="quiet">an address of a person, which is not shown</span>`}
    ${!confirmed && html` <span class="warns">not confirmed</span>`}
    ${filter ? html`<br /><span class="quiet">${ofBody ? "only messages like" : "only with attributes like"}</span> <code>${filter}</code>` : html` <span class="quiet">every message</span>`}
    ${letters && html`<br /><span class="quiet">what it does not take goes to ${letters}</span>`}`;
}

function shown(label, value) {
  if (value === null || value === undefined) return "not known";
  if (typeof value !== "number") return value;
  return label === "Bytes" ? bytes(value) : count(value);
}

function Arrows({ id, drawn, figures }) {
  const names = new Map(drawn.nodes.map((node) => [node.id, node]));
  const near = drawn.arrows.filter((arrow) => arrow.start === id || arrow.end === id);
  return html`<h3>${plural(near.length, "arrow")}</h3>
    <ul>${near.map((arrow) => html`<li key=${arrow.id}><a href=${href(arrow.leads)}>${labelOf(arrow, names, figures?.arrows[arrow.id])}</a> <span class="quiet">${arrow.why}</span></li>`)}</ul>`;
}
