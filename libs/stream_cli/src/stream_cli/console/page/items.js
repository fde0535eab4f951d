// Tables, their rows as they are read page by page, and one row with its history.
import { useEffect, useRef, useState } from "preact/hooks";
import { get } from "./api.js";
import { count, plural } from "./format.js";
import { html } from "./html.js";
import { Item } from "./item.js";
import { List } from "./list.js";
import { useLoaded } from "./live.js";
import { useNarrow } from "./narrow.js";
import { encoded, link, replace } from "./route.js";

const PAGE = 200;
const MORE = 500;
const MOST = 20_000; // rows that the page holds
const ROW_PX = 34;
const NARROW_ROW_PX = 56;

export function Items({ route }) {
  const { content, error } = useLoaded("items", { everyMs: 15_000 });
  if (error && !content) return html`<p class="problem" role="alert">${error.message}</p>`;
  if (!content) return html`<p role="status">Loading</p>`;
  const [name, ...rest] = route.what.split("/");
  const table = content.tables.find((each) => each.name === name);
  if (!name) return html`<${Tables} tables=${content.tables} />`;
  if (!table) return html`<p class="problem" role="alert">${name} is no table of the stage's stacks.</p><${Tables} tables=${content.tables} />`;
  return html`<${Table} key=${name} table=${table} what=${rest.join("/")} query=${route.query} />`;
}

function Tables({ tables }) {
  if (!tables.length) return html`<p>The stacks of this stage have no table.</p>`;
  return html`
    <div class="card wide" tabindex="0" role="region" aria-label="Tables of the stage's stacks">
      <table class="stacks">
        <thead><tr><th scope="col">Table</th><th scope="col">Partition key</th><th scope="col">Sort key</th>
          <th scope="col" class="number">Rows, about</th><th scope="col">History</th></tr></thead>
        <tbody>${tables.map((each) => html`
          <tr key=${each.name}><th scope="row"><a href=${link("items", each.name)}>${each.name}</a></th>
            <td data-label="Partition key">${each.keys[0].name}</td><td data-label="Sort key">${each.keys[1]?.name ?? "—"}</td>
            <td data-label="Rows, about" class="number">${count(each.count)}</td><td data-label="History">${each.has_stream ? "by its stream" : "no stream"}</td></tr>`)}</tbody>
      </table>
    </div>`;
}

function useRows(table, query) {
  const empty = { rows: [], next: null, loaded: false, error: null };
  const [state, set] = useState(empty);
  const key = JSON.stringify([table, query]);
  const at = useRef({ asking: null, after: null });
  const path = `items/${encoded(table)}`;

  async function load() {
    at.current.asking?.abort();
    const own = (at.current.asking = new AbortController());
    at.current.after = null;
    try {
      const page = await get(path, { ...query, limit: PAGE }, own.signal);
      if (at.current.asking === own) set({ rows: page.rows, next: page.next, loaded: true, error: null });
    } catch (error) {
      if (at.current.asking === own && error.name !== "AbortError") set({ ...empty, loaded: true, error });
    }
  }

  async function more() {
    const { next } = state;
    if (next === null || at.current.after === next || state.rows.length >= MOST) return;
    at.current.after = next;
    const own = at.current.asking;
    try {
      const page = await get(path, { ...query, limit: MORE, after: next }, own?.signal);
      set((before) => (before.next !== next ? before : { ...before, rows: [...before.rows, ...page.rows], next: page.next, error: null }));
    } catch (error) {
      at.current.after = null; // asked for again when the list is scrolled
      if (at.current.asking === own && error.name !== "AbortError") set((before) => ({ ...before, error }));
    }
  }

  useEffect(() => {
    set(empty);
    load();
    return () => at.current.asking?.abort();
  }, [key]);
  // A page may be empty though more follow.
  useEffect(() => {
    if (state.loaded && !state.rows.length && state.next !== null) more();
  }, [state]);
  return { ...state, load, more };
}

function Table({ table, what, query }) {
  const { rows, next, loaded, error, load, more } = useRows(table.name, query);
  const narrow = useNarrow();
  const place = useRef(null);
  const [partition, sort] = table.keys;
  const open = (row) => { location.hash = link("items", `${table.name}/${row.key}`, query); };
  const close = () => {
    location.hash = link("items", table.name, query);
    requestAnimationFrame(() => place.current?.querySelector("[tabindex='0']")?.focus());
  };
  return html`
    <div class=${`split items ${what ? "split-open" : ""}`}>
      <section class="events" ref=${place} aria-label=${`Rows of ${table.name}`}>
        <p class="items-place"><a href=${link("items")}>All tables</a> <strong>${table.name}</strong></p>
        <${Search} table=${table} what=${what} query=${query} />
        <div class="list-state" role="status">
          ${error ? html`<span class="problem">${error.message}</span>`
            : !loaded ? "Reading"
            : rows.length ? `${plural(rows.length, "row")} read${next === null ? "" : ", more follow"}${rows.length >= MOST ? "; search for others" : ""}`
            : next === null ? "No row is like this." : "Reading"}
          <button type="button" onClick=${load}>Read anew</button>
        </div>
        <${List} rows=${rows} label="Rows" rowHeight=${narrow ? NARROW_ROW_PX : ROW_PX} selected=${what}
          columns=${[partition.name, sort ? sort.name : "", "Attributes"]} id=${(row) => row.key} open=${open}
          cells=${cells} onEnd=${more} onTop=${() => {}} />
      </section>
      ${what && html`<${Item} key=${what} table=${table.name} of=${what} close=${close} />`}
    </div>`;
}

function cells(row) {
  return html`
    <span role="gridcell" class="cell-key">${row.keys[0]}</span>
    <span role="gridcell" class="cell-id">${row.keys[1] ?? ""}</span>
    <span role="gridcell" class="cell-source quiet">${row.preview}</span>`;
}

// By whole partition keys, so nothing is asked before they are.
function Search({ table, what, query }) {
  const [partition, sort] = table.keys;
  const [typed, setTyped] = useState({ partition: "", sort: "", ...query });
  useEffect(() => setTyped({ partition: "", sort: "", ...query }), [JSON.stringify(query)]);
  const submit = (event) => {
    event.preventDefault();
    replace(link("items", what ? `${table.name}/${what}` : table.name, { partition: typed.partition, sort: typed.partition && typed.sort }));
  };
  const field = (name, words) => html`
    <label class=${`search-${name}`}><span>${words}</span>
      <input type="search" name=${name} value=${typed[name]} autocomplete="off" spellcheck=${false}
        onInput=${(event) => setTyped({ ...typed, [name]: event.currentTarget.value })} /></label>`;
  return html`
    <form class="search" role="search" onSubmit=${submit}>
      ${field("partition", `${partition.name}, the whole partition key`)}
      ${sort && field("sort", sort.type === "N" ? `${sort.name}, the sort key` : `${sort.name} begins with`)}
      <button>Read</button>
    </form>`;
}
