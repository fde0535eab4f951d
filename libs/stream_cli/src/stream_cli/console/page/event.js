// One event: what it says, and what came of it.
import { useState } from "preact/hooks";
import { colour, exactly, time } from "./format.js";
import { html } from "./html.js";
import { Json } from "./json.js";
import { useLoaded } from "./live.js";
import { Panel } from "./panel.js";
import { encoded, link } from "./route.js";

export function Event({ id, close }) {
  const { content: event, error } = useLoaded(`events/${encoded(id)}`);
  const head = event ? html`<span class=${`badge ${colour(event.type)}`}>${event.type}</span>` : "Event";
  return html`
    <${Panel} label="Event" head=${head} close=${close}>
      ${error && html`<p class="problem" role="alert">${error.message}</p>`}
      ${event && html`<${Facts} event=${event} />`}
    <//>`;
}

function Facts({ event }) {
  const facts = [
    ["Id", event.event && html`<a href=${link("events", "", { id: event.event })}>${event.event}</a>`],
    ["Key", event.key && html`<a href=${link("events", "", { key: event.key })}>${event.key}</a>`],
    ["Source", html`<a href=${link("events", "", { source: event.source })}>${event.source}</a>`],
    ["Time", html`<time datetime=${exactly(event.at)} title=${exactly(event.at)}>${time(event.at)}</time>`],
    ["Bus", `${event.bus}, as ${event.id}`],
    ["Rules", event.rules.length ? event.rules.map((rule) => html`
      <div key=${rule.rule}>${rule.rule} <span class="quiet">→ ${rule.targets.map(nameOf).join(", ")}</span></div>`)
      : html`<span class="warns">No rule of the bus takes it: it goes nowhere.</span>`],
  ].filter(([, value]) => value);
  return html`
    <dl class="facts">${facts.map(([name, value]) => html`<dt key=${name}>${name}</dt><dd>${value}</dd>`)}</dl>
    <p><a class="button" href=${link("trace", event.event || event.id)}>What came of it</a></p>
    <div class="event-json"><h3>JSON</h3><${Copy} value=${event.detail} /></div>
    <${Json} value=${event.detail} />`;
}

const nameOf = (arn) => arn.split(":").slice(5).join(":") || arn;

function Copy({ value }) {
  const [said, say] = useState("Copy");
  const copy = () => navigator.clipboard.writeText(JSON.stringify(value, null, 2)).then(() => say("Copied"), () => say("Not allowed"));
  return html`<button type="button" onClick=${copy}>${said}</button>`;
}
