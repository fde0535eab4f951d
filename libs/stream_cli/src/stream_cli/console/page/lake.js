// The lake: objects and events by hour, one object with its events, and their replay.
import { useEffect, useRef, useState } from "preact/hooks";
import { get } from "./api.js";
import { bytes, colour, count, plural, time } from "./format.js";
import { html } from "./html.js";
import { Job, useJob } from "./job.js";
import { Json } from "./json.js";
import { useLive, useLoaded } from "./live.js";
import { Panel } from "./panel.js";
import { Replay, replayed } from "./replay.js";
import { link } from "./route.js";

const SOON_MS = 2000;
const today = () => new Date().toISOString().slice(0, 10);

// A day of the lake: asked again while its events are being counted, and when objects come.
function useDay(day) {
  const [state, set] = useState({ content: null, error: null });
  const here = useRef({}).current;
  useEffect(() => {
    Object.assign(here, { left: new AbortController(), timer: null, asking: false });
    set({ content: null, error: null });
    ask();
    return () => {
      here.left.abort();
      clearTimeout(here.timer);
    };
  }, [day]);

  async function ask() {
    const { left } = here;
    clearTimeout(here.timer);
    if (document.hidden) return;
    here.asking = true;
    try {
      const content = await get("lake", { day }, left.signal);
      set({ content, error: null });
      if (content.counted < Math.min(content.objects, content.most)) here.timer = setTimeout(ask, 50);
    } catch (error) {
      if (!left.signal.aborted) set((before) => ({ ...before, error }));
    }
    here.asking = false;
  }

  useLive((message) => {
    if (!message.counts.object && !message.missed && !message.opened) return;
    if (here.asking || here.left.signal.aborted) return;
    clearTimeout(here.timer);
    here.timer = setTimeout(ask, SOON_MS);
  });
  return state;
}

export function Lake({ route }) {
  const day = route.query.day ?? today();
  const { content, error } = useDay(day);
  const job = useJob("replay");
  const [asked, setAsked] = useState(null);
  const ask = (what) => {
    job.forget?.();
    setAsked(what);
  };
  const go = (next) => { location.hash = link("lake", "", { day: next }); };
  const { hour, key } = route.query;
  const close = () => { location.hash = link("lake", "", { day, hour: key ? hour : "" }); };
  const types = [...new Set((content?.hours ?? []).flatMap((each) => each.types.map(({ type }) => type)))].sort();
  return html`
    ${asked && html`<${Replay} asked=${asked} types=${types} begin=${job.begin} error=${job.error} close=${() => setAsked(null)} />`}
    <div class=${`split ${hour || key ? "split-open split-half" : ""}`}>
      <section class="events faults" aria-label="Hours of the lake">
        <div class="lake-head">
          <label><span>Day (UTC)</span><input type="date" value=${day} max=${today()} onChange=${(event) => event.currentTarget.value && go(event.currentTarget.value)} /></label>
          <button type="button" class="act" onClick=${() => ask({ since: `${day}T00:00`, until: "" })}>Replay …</button>
        </div>
        <${Job} of=${{ ...job, error: asked ? null : job.error }} result=${(result) => replayed(result, job.job.state, ask)} />
        ${error && html`<p class="problem" role="alert">${error.message}</p>`}
        ${content ? html`<${Hours} content=${content} open=${hour} replay=${ask} />` : !error && html`<p role="status">Loading</p>`}
      </section>
      ${key ? html`<${One} key=${key} id=${key} close=${close} />` : hour && html`<${Hour} key=${`${day} ${hour}`} day=${day} hour=${hour} close=${close} />`}
    </div>`;
}

function Hours({ content, open, replay }) {
  const { day, hours, objects, counted, most } = content;
  const wanted = Math.min(objects, most);
  return html`
    <p class="quiet" role="status">${plural(objects, "object")} with ${bytes(content.bytes)} in ${content.bucket}.
      ${counted < wanted ? ` Counted: ${count(counted)} of ${count(wanted)}.` : objects > most ? ` Events are counted in the newest ${count(most)}.` : ""}
      ${content.cut && ` There are more: hours before ${content.cut}:00 are not listed.`}</p>
    ${counted < wanted && html`<progress aria-label="Objects counted" max=${wanted} value=${counted}></progress>`}
    ${hours.length > 0 ? html`<div class="card wide" tabindex="0" role="region" aria-label="Objects by hour"><table class="stacks">
      <thead><tr><th scope="col">Hour (UTC)</th><th scope="col" class="number">Objects</th><th scope="col" class="number">Size</th><th scope="col">Events by type</th><th scope="col"><span class="unseen">Replay</span></th></tr></thead>
      <tbody>${hours.map((each) => html`
        <tr key=${each.hour}><th scope="row"><a href=${link("lake", "", { day, hour: each.hour })} aria-current=${each.hour === open ? "true" : null}>${each.hour}:00</a></th>
          <td data-label="Objects" class="number">${count(each.objects)}</td><td data-label="Size" class="number">${bytes(each.bytes)}</td>
          <td data-label="Events" class="wraps"><${Types} types=${each.types} />${each.counted < each.objects ? html` <span class="quiet">of ${count(each.counted)} objects</span>` : ""}
            ${each.unreadable > 0 && html` <span class="problem">${plural(each.unreadable, "line")} not readable</span>`}</td>
          <td><button type="button" aria-label=${`Replay events published in the hour of ${each.hour}:00`}
            onClick=${() => replay({ since: `${day}T${each.hour}:00`, until: after(day, each.hour) })}>Replay …</button></td></tr>`)}</tbody>
    </table></div>` : html`<p>The lake has no object of this day.</p>`}`;
}

// The beginning of the next hour.
const after = (day, hour) => new Date(Date.parse(`${day}T${hour}:00Z`) + 3_600_000).toISOString().slice(0, 16);

function Types({ types }) {
  return types.map(({ type, events }) => html`<span key=${type} class=${`badge ${colour(type)}`}>${type || "no type"} ${count(events)}</span>${" "}`);
}

function Hour({ day, hour, close }) {
  const { content, error } = useLoaded("lake/objects", { query: { day, hour }, kinds: ["object"] });
  return html`
    <${Panel} label="Objects of an hour" head=${`${day} ${hour}:00 UTC`} close=${close}>
      ${error && html`<p class="problem" role="alert">${error.message}</p>`}
      ${content && html`<ul class="objects">${content.objects.map((each) => html`
        <li key=${each.key}><a href=${link("lake", "", { day, hour, key: each.key })}>${each.key.split("/").slice(3).join("/")}</a> <span class="quiet">${bytes(each.size)}</span>${" "}
          <${Types} types=${each.types} /></li>`)}</ul>
        ${content.left_out > 0 && html`<p class="quiet">and ${plural(content.left_out, "older one")}, which are not listed</p>`}`}
    <//>`;
}

function One({ id, close }) {
  const [pages, setPages] = useState([]);
  const [error, setError] = useState(null);
  const last = pages.at(-1);
  const more = () => get("lake/object", { key: id, line: last?.events.at(-1)?.line }).then((page) => setPages((before) => [...before, page]), setError);
  useEffect(() => { more(); }, [id]);
  const wrong = pages.flatMap((page) => page.unreadable);
  return html`
    <${Panel} label="Object" head=${id.split("/").slice(3).join("/")} close=${close}>
      <p class="quiet">${id}</p>
      ${error && html`<p class="problem" role="alert">${error.message}</p>`}
      ${wrong.length > 0 && html`<ul class="problem">${wrong.map((each) => html`<li key=${each.line}>Line ${each.line}: ${each.why}</li>`)}</ul>`}
      <ol class="records">${pages.flatMap((page) => page.events).map((each) => html`<${Record} key=${each.line} each=${each} />`)}</ol>
      ${last && (last.more ? html`<button type="button" onClick=${more}>More events</button>` : !last.events.length && html`<p>There is no event in it.</p>`)}
    <//>`;
}

function Record({ each }) {
  const [isOpen, setOpen] = useState(false);
  return html`
    <li><span class=${`badge ${colour(each.type)}`}>${each.type || "no type"}</span> <a href=${link("trace", each.id)}>${each.id}</a> <span class="quiet">${time(each.at)}, line ${each.line}</span>
      <details onToggle=${(event) => setOpen(event.currentTarget.open)}><summary class="quiet">JSON</summary>${isOpen && html`<${Json} value=${each.event} />`}</details></li>`;
}
