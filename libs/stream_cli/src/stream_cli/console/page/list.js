// A list that makes only the rows that are seen, for the mouse and for the keyboard.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { html } from "./html.js";

const BEYOND = 8;
const NEAR_THE_END = 40;

// rows: the newest first. `cells` makes the cells of a row, `id` is what it is known by, `open` is called with it.
export function List({ rows, columns, cells, id, open, selected, label, onEnd, onTop, rowHeight }) {
  const box = useRef(null);
  const [view, setView] = useState({ top: 0, height: 600 });
  const [active, setActive] = useState(null);
  const before = useRef(rows);
  const place = Math.max(0, rows.findIndex((row) => id(row) === (active ?? selected)));
  const placeOf = (wanted, among) => Math.max(0, among.findIndex((row) => id(row) === id(wanted)));

  useEffect(() => {
    const list = box.current;
    const seen = new ResizeObserver(() => setView({ top: list.scrollTop, height: list.clientHeight }));
    seen.observe(list);
    return () => seen.disconnect();
  }, []);

  // What comes in above, or goes there, does not move what is read.
  useLayoutEffect(() => {
    const added = before.current.length && rows.length ? placeOf(before.current[0], rows) || -placeOf(rows[0], before.current) : 0;
    if (added && box.current.scrollTop > 0) box.current.scrollTop += added * rowHeight;
    before.current = rows;
  }, [rows]);

  useEffect(() => {
    if (rows.length && (view.top + view.height) / rowHeight > rows.length - NEAR_THE_END) onEnd();
  }, [rows, view]);

  function scrolled(event) {
    const { scrollTop, clientHeight } = event.currentTarget;
    setView({ top: scrollTop, height: clientHeight });
    onTop(scrollTop === 0);
  }

  function goTo(wanted) {
    const next = Math.min(Math.max(wanted, 0), rows.length - 1);
    if (next < 0) return;
    const top = next * rowHeight;
    const { scrollTop, clientHeight } = box.current;
    const head = box.current.querySelector("[role=rowgroup]")?.offsetHeight ?? 0;
    if (top < scrollTop) box.current.scrollTop = top;
    else if (top + rowHeight + head > scrollTop + clientHeight) box.current.scrollTop = top + rowHeight + head - clientHeight;
    setView({ top: box.current.scrollTop, height: clientHeight });
    setActive(id(rows[next]));
    requestAnimationFrame(() => box.current?.querySelector("[tabindex='0']")?.focus({ preventScroll: true }));
  }

  function pressed(event) {
    const page = Math.max(1, Math.floor(view.height / rowHeight) - 2);
    const moves = {
      ArrowDown: place + 1, ArrowUp: place - 1, PageDown: place + page, PageUp: place - page, Home: 0, End: rows.length - 1,
    };
    if (event.key in moves && !event.ctrlKey && !event.altKey && !event.metaKey) {
      event.preventDefault();
      goTo(moves[event.key]);
    } else if (event.key === "Enter" && rows[place]) {
      event.preventDefault();
      open(rows[place]);
    }
  }

  const from = Math.max(0, Math.floor(view.top / rowHeight) - BEYOND);
  const to = Math.min(rows.length, Math.ceil((view.top + view.height) / rowHeight) + BEYOND);
  const shown = rows.slice(from, to).map((row, index) => [row, from + index]);
  const tabbable = place >= from && place < to ? place : from;
  // What has the focus is there also when it is not seen: others come in above it.
  if (rows[place] && id(rows[place]) === active && place < from) shown.unshift([rows[place], place]);
  if (rows[place] && id(rows[place]) === active && place >= to) shown.push([rows[place], place]);
  return html`
    <div class="list" role="grid" aria-label=${label} aria-rowcount=${rows.length + 1} ref=${box} onScroll=${scrolled}
      onKeyDown=${pressed}>
      <div role="rowgroup" class="list-head">
        <div role="row" aria-rowindex="1">
          ${columns.map((column) => html`<span role="columnheader" key=${column}>${column}</span>`)}
        </div>
      </div>
      <div role="rowgroup" class="list-body" style=${{ height: `${rows.length * rowHeight}px` }}>
        ${shown.map(([row, at]) => html`
          <div role="row" key=${id(row)} aria-rowindex=${at + 2} aria-selected=${id(row) === selected}
            tabindex=${at === tabbable ? 0 : -1}
            style=${{ transform: `translateY(${at * rowHeight}px)`, height: `${rowHeight}px` }}
            onFocus=${() => setActive(id(row))} onClick=${() => open(row)}>
            ${cells(row)}
          </div>`)}
      </div>
    </div>`;
}
