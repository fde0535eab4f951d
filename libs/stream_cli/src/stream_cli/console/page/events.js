// The list of events as they come in, the search, and one event beside it.
import { useEffect, useRef, useState } from "preact/hooks";
import { get } from "./api.js";
import { Event } from "./event.js";
import { colour, count, exactly, plural, time } from "./format.js";
import { html } from "./html.js";
import { List } from "./list.js";
import { useLive } from "./live.js";
import { useNarrow } from "./narrow.js";
import { link, replace } from "./route.js";

const PAGE = 200;
const MORE = 500;
const MOST = 20_000; // rows that the page holds
const TYPED_MS = 250;
const FIELDS = { text: "Text", type: "Type", key: "Key", id: "Id", source: "Source" };
const ROW_PX = 34;
const NARROW_ROW_PX = 56;

function useEvents(query) {
  const [state, set] = useState({ rows: [], older: null, loaded: false, newer: 0, error: null });
  const key = JSON.stringify(query);
  const isFiltered = Object.values(query).some(Boolean);
  const at = useRef({ top: true, asking: null, olderOf: null, last: 0, timer: null });

  async function load() {
    const asked = at.current;
    clearTimeout(asked.timer);
    asked.timer = null;
    asked.asking?.abort();
    const own = (asked.asking = new AbortController());
    asked.last = performance.now();
    try {
      const page = await get("events", { ...query, limit: PAGE }, own.signal);
      if (asked.asking !== own) return;
      asked.olderOf = null; // older ones that were asked for meanwhile are not in this list
      set({ rows: page.events, older: page.older, loaded: true, newer: 0, error: null });
    } catch (error) {
      if (asked.asking === own && error.name !== "AbortError") set((before) => ({ ...before, loaded: true, error }));
    }
  }

  async function more() {
    const { older } = state;
    if (older === null || at.current.olderOf === older) return;
    at.current.olderOf = older;
    const own = at.current.asking;
    try {
      const page = await get("events", { ...query, limit: MORE, before: older }, own?.signal);
      // A list that was loaded anew meanwhile ends elsewhere.
      set((before) => {
        if (before.older !== older) return before;
        const fresh = without(page.events, before.rows.slice(-MORE));
        const over = Math.max(0, before.rows.length + fresh.length - MOST); // the newest go: what is read are the oldest
        const rows = before.rows.slice(over).concat(fresh);
        return { ...before, rows, newer: before.newer + over, older: page.older, error: null };
      });
    } catch (error) {
      at.current.olderOf = null; // asked for again when the list is scrolled
      if (at.current.asking === own && error.name !== "AbortError") set((before) => ({ ...before, error }));
    }
  }

  useEffect(() => {
    at.current.top = true;
    set((before) => ({ ...before, loaded: false }));
    load();
    return () => clearTimeout(at.current.timer);
  }, [key]);

  useLive((message) => {
    const came = message.counts.event ?? 0;
    if (!came && !message.missed && !message.opened) return;
    if (!at.current.top) {
      set((before) => ({ ...before, newer: before.newer + came }));
    } else if (isFiltered || message.left_out || message.missed || message.opened || state.rows.length >= MOST) {
      const wait = Math.max(0, at.current.last + 1000 - performance.now());
      at.current.timer ??= setTimeout(() => {
        at.current.timer = null;
        if (!document.hidden) load();
      }, wait);
    } else {
      set((before) => {
        const fresh = without(message.events.toReversed(), before.rows.slice(0, 2 * PAGE));
        return { ...before, rows: [...fresh, ...before.rows] };
      });
    }
  });

  const onTop = (top) => {
    at.current.top = top;
    if (top && state.newer) load();
  };
  return { ...state, load, more, onTop };
}

function without(events, known) {
  const ids = new Set(known.map((event) => event.id));
  return events.filter((event) => !ids.has(event.id));
}

export function Events({ route }) {
  const { what, query } = route;
  const { rows, loaded, newer, error, load, more, onTop } = useEvents(query);
  const narrow = useNarrow();
  const place = useRef(null);
  const close = () => {
    location.hash = link("events", "", query);
    requestAnimationFrame(() => place.current?.querySelector("[tabindex='0']")?.focus());
  };
  return html`
    <div class=${`split ${what ? "split-open" : ""}`}>
      <section class="events" ref=${place} aria-label="List of events">
        <${Search} query=${query} what=${what} />
        <div class="list-state" role="status">
          ${error ? html`<span class="problem">${error.message}</span>`
            : !loaded ? "Searching"
            : rows.length ? `${plural(rows.length, "event")} loaded` : "No event is like this."}
          ${newer > 0 && html`
            <button type="button" class="newer" onClick=${() => { place.current.querySelector(".list").scrollTop = 0; load(); }}>
              ↑ ${count(newer)} newer</button>`}
        </div>
        <${List} rows=${rows} label="Events" rowHeight=${narrow ? NARROW_ROW_PX : ROW_PX} selected=${what}
          columns=${["Time", "Type", "Key", "Id", "Source", "Rules"]} id=${(event) => event.id}
          open=${(event) => { location.hash = link("events", event.id, query); }} cells=${cells}
          onEnd=${more} onTop=${onTop} />
      </section>
      ${what && html`<${Event} key=${what} id=${what} close=${close} />`}
    </div>`;
}

function cells(event) {
  return html`
    <span role="gridcell" class="cell-time" title=${exactly(event.at)}>${time(event.at)}</span>
    <span role="gridcell" class="cell-type"><span class=${`badge ${colour(event.type)}`}>${event.type}</span></span>
    <span role="gridcell" class="cell-key">${event.key}</span>
    <span role="gridcell" class="cell-id quiet">${event.event || event.id}</span>
    <span role="gridcell" class="cell-source quiet">${event.source}</span>
    <span role="gridcell" class="cell-rules">${
      event.rules.length ? html`<span class="quiet">${event.rules.length}</span>` : html`<span class="warns">no rule</span>`}</span>`;
}

function Search({ query, what }) {
  const [typed, setTyped] = useState(query);
  const timer = useRef(null);
  const own = useRef(JSON.stringify(query));
  useEffect(() => {
    if (JSON.stringify(query) !== own.current) setTyped(query); // by the address
    own.current = JSON.stringify(query);
  }, [JSON.stringify(query)]);

  function change(name, value, wait = TYPED_MS) {
    const next = { ...typed, [name]: value };
    for (const each of Object.keys(next)) if (!next[each]) delete next[each];
    setTyped(next);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => {
      own.current = JSON.stringify(next);
      replace(link("events", what, next));
    }, wait);
  }

  return html`
    <form class="search" role="search" onSubmit=${(event) => event.preventDefault()}>
      ${Object.entries(FIELDS).map(([name, words]) => html`
        <label key=${name} class=${`search-${name}`}><span>${words}</span>
          <input type="search" name=${name} value=${typed[name] ?? ""} autocomplete="off" spellcheck=${false}
            onInput=${(event) => change(name, event.currentTarget.value.trim())} /></label>`)}
      <label class="tick"><input type="checkbox" checked=${typed.unmatched === "true"}
        onChange=${(event) => change("unmatched", event.currentTarget.checked ? "true" : "", 0)} /> taken by no rule</label>
    </form>`;
}
