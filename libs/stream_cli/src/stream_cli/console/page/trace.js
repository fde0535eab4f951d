// What came of an event or a key: what it waits for, the picture, and the steps.
import { useState } from "preact/hooks";
import { exactly } from "./format.js";
import { html } from "./html.js";
import { Json } from "./json.js";
import { useLoaded } from "./live.js";
import { Picture } from "./picture.js";
import { encoded, link } from "./route.js";

const KINDS = ["event", "stream", "change", "attempt", "filtered", "given_up", "message", "object", "delivery", "call", "refused"];

export function Trace({ route }) {
  const [typed, setTyped] = useState(route.what);
  const submit = (event) => {
    event.preventDefault();
    if (typed.trim()) location.hash = link("trace", typed.trim());
  };
  return html`
    <form class="search" role="search" onSubmit=${submit}>
      <label class="search-text"><span>Id of an event, message, record or request; or a key</span>
        <input type="search" name="asked" value=${typed} autocomplete="off" spellcheck=${false}
          onInput=${(event) => setTyped(event.currentTarget.value)} /></label>
      <button>Trace</button>
    </form>
    ${route.what ? html`<${Timeline} key=${route.what} asked=${route.what} />` : html`
      <p class="quiet">Shows what came of it, and what it waits for. Ids are on all pages: <a href=${link("events")}>choose an event</a>.</p>`}`;
}

function Timeline({ asked }) {
  const { content, error } = useLoaded(`trace/${encoded(asked)}`, { kinds: KINDS, everyMs: 5000 });
  if (error && !content) return html`<p class="problem" role="alert">${error.message}</p>`;
  if (!content) return html`<p role="status">Looking</p>`;
  if (!content.steps.length) return html`<${Nobody} timeline=${content} />`;
  return html`
    <${Waits} waits=${content.waits} />
    <section class="card" aria-label="Picture"><h2>On its way</h2><${Picture} steps=${content.steps} /></section>
    <section class="card" aria-label="Steps">
      <h2>Steps <span class="quiet">from ${exactly(content.first)}, times in ms since then</span></h2>
      <ol class="steps">${content.steps.map((step, place) => html`<${Step} key=${place} step=${step} />`)}</ol>
      ${content.unknown.length > 0 && html`<h3>Not known</h3><ul>${content.unknown.map((each) => html`<li key=${each}>${each}</li>`)}</ul>`}
    </section>`;
}

function Waits({ waits }) {
  if (!waits.length) return html`<section class="card card-good" aria-label="What it waits for"><h2>It waits for nothing.</h2></section>`;
  return html`
    <section class="card card-waits" aria-label="What it waits for">
      <h2>It waits</h2>
      ${waits.map((each, place) => html`
        <div class="wait" key=${place}><strong>${each.what}</strong>
          ${each.why.length > 0 && html`<ul>${each.why.map((why) => html`<li key=${why}>${why}</li>`)}</ul>`}
          ${each.command && html`<pre class="command" tabindex="0">${each.command}</pre>`}</div>`)}
    </section>`;
}

function Step({ step }) {
  const { facts = {}, steps = [] } = step;
  const classes = `step step-${step.kind.replace(" ", "-")} ${step.failed ? "step-failed" : ""}`;
  const shown = Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== null && value !== undefined));
  return html`
    <li class=${classes}>
      <span class="step-at">+${step.ms}</span>
      <span class="step-text">${step.bus_id ? html`<a href=${link("events", step.bus_id)}>${step.text}</a>` : step.text}</span>
      ${Object.keys(shown).length > 0 && html`<${More} facts=${shown} />`}
      ${steps.length > 0 && html`<ol class="steps">${steps.map((each, place) => html`<${Step} key=${place} step=${each} />`)}</ol>`}
    </li>`;
}

function More({ facts }) {
  const [isOpen, setOpen] = useState(false);
  const id = facts.bus_id;
  return html`
    <details class="more" open=${isOpen} onToggle=${(event) => setOpen(event.currentTarget.open)}>
      <summary class="quiet">more</summary>
      ${isOpen && html`${id && html`<p><a href=${link("events", id)}>The event</a></p>`}<${Json} value=${facts} />`}
    </details>`;
}

function Nobody({ timeline }) {
  return html`
    <section class="card" role="status"><h2>Nobody has seen ${timeline.asked}.</h2>
      ${timeline.nearest.length > 0 && html`<p>Nearest:</p><ul>${timeline.nearest.map((each) => html`
        <li key=${each}><a href=${link("trace", each)}>${each}</a></li>`)}</ul>`}
    </section>`;
}
