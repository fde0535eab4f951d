// What is deployed, and what goes over its arrows at the moment.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { Diagram, href, labelOf } from "./diagram.js";
import { KINDS, troubles } from "./figures.js";
import { count, plural } from "./format.js";
import { html } from "./html.js";
import { useLoaded } from "./live.js";
import { MapNode } from "./mapnode.js";
import { Tables } from "./maptable.js";
import { link } from "./route.js";

const KINDS_OF_LINES = ["event", "stream", "change", "call", "message", "object", "refused", "attempt", "given_up", "filtered", "delivery"];
const EVERY_MS = 2000; // so that what has ended is seen to have ended
const LOOK_MS = 20_000;
const STEP_PX = 40; // of the width for which the picture is laid out
const NARROW = "(max-width: 720px)";
const MOST_DRAWN = 400;
const ZOOMS = [0.4, 0.55, 0.7, 0.85, 1, 1.25, 1.5];

export function Map({ route }) {
  const { content: drawn, error, again } = useLoaded("map", { everyMs: LOOK_MS });
  const { content: figures, error: lost } = useLoaded("map/figures", { kinds: KINDS_OF_LINES, everyMs: EVERY_MS });
  const [zoom, setZoom] = useState(1);
  const [narrow] = useState(() => matchMedia(NARROW).matches);
  const asked = useRef();
  const other = Boolean(drawn && figures && figures.version !== drawn.version);
  useEffect(() => {
    if (other) again();
  }, [other, figures?.version]);
  if (error && !drawn) return html`<p class="problem" role="alert">${error.message}</p>`;
  if (!drawn) return html`<p role="status">Looking at what is deployed</p>`;
  const tooMany = drawn.nodes.length > MOST_DRAWN;
  const chosen = route.query.as ?? asked.current;
  asked.current = chosen;
  const as = chosen ?? (narrow || tooMany ? "tables" : "picture");
  const named = { nodes: {}, arrows: {}, ...figures };
  const problem = error ?? lost;
  return html`
    <div class="map-bar">
      <div class="map-views" role="group" aria-label="View">
        ${[["picture", "Picture"], ["tables", "Tables"]].map(([name, words]) => html`
          <a key=${name} href=${link("map", "", { as: name })} aria-current=${as === name ? "true" : null}>${words}</a>`)}
      </div>
      ${as === "picture" && html`<${Zoom} zoom=${zoom} set=${setZoom} />`}
      <${Troubles} drawn=${drawn} figures=${named} />
      <span class="map-size quiet">${plural(drawn.groups.length, "stack")}, ${plural(drawn.nodes.length, "node")}, ${plural(drawn.arrows.length, "arrow")}</span>
    </div>
    ${problem && html`<p class="problem" role="alert">${problem.message}</p>`}
    ${!drawn.nodes.length && html`<p>Nothing is deployed.</p>`}
    ${route.what && html`<${MapNode} key=${route.what} id=${route.what} drawn=${drawn} figures=${named} close=${() => { location.hash = link("map", "", { as }); }} />`}
    ${as === "tables" ? html`<${Tables} drawn=${drawn} figures=${named} />` : html`<${Picture} drawn=${drawn} figures=${named} zoom=${zoom} />`}
    <${Rest} drawn=${drawn} />`;
}

function Picture({ drawn, figures, zoom }) {
  const place = useRef(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const box = place.current;
    const seen = new ResizeObserver(() => setWidth(Math.max(Math.floor(box.clientWidth / STEP_PX) * STEP_PX, 320)));
    seen.observe(box);
    return () => seen.disconnect();
  }, []);
  return html`
    <div class="map-scroll" ref=${place} tabindex="0" role="region" aria-label="Picture, which scrolls">
      ${width > 0 && html`<${Diagram} drawn=${drawn} figures=${figures} width=${width} zoom=${zoom} />`}
    </div>
    <p class="map-legend quiet">${windows(figures)} ← from and → to another service; ✕ where
      what is given up goes. What a function writes to is what its role or its variables name.</p>`;
}

function windows({ windows: [short, long] = [10, 60] }) {
  const last = (seconds) => `the last ${seconds < 60 ? `${seconds} seconds` : seconds === 60 ? "minute" : `${seconds / 60} minutes`}`;
  return short === long ? `Figures are of ${last(long)}.` : `Figures are of ${last(short)}, or, where nothing passed then, of ${last(long)}.`;
}

function Zoom({ zoom, set }) {
  const at = ZOOMS.indexOf(zoom);
  return html`
    <div class="map-zoom" role="group" aria-label="Zoom">
      <button type="button" aria-label="Smaller" disabled=${at === 0} onClick=${() => set(ZOOMS[at - 1])}>−</button>
      <button type="button" aria-label="Larger" disabled=${at === ZOOMS.length - 1} onClick=${() => set(ZOOMS[at + 1])}>+</button>
    </div>`;
}

// What goes wrong, in one place; it opens over the picture, so that nothing moves when something comes.
function Troubles({ drawn, figures }) {
  const names = useMemo(() => new globalThis.Map(drawn.nodes.map((node) => [node.id, node])), [drawn.version]);
  const found = [
    ...drawn.nodes.map((node) => ({ of: node, words: `${KINDS[node.kind] ?? node.kind} ${node.name}`, texts: troubles(figures.nodes[node.id]) })),
    ...drawn.arrows.map((arrow) => ({ of: arrow, words: labelOf(arrow, names), texts: troubles(figures.arrows[arrow.id]) })),
  ].filter(({ texts }) => texts.length);
  if (!found.length) return html`<p class="map-well">Nothing fails.</p>`;
  return html`
    <details class="map-troubles">
      <summary><strong>${plural(found.length, "place")} with problems</strong></summary>
      <ul>${found.map(({ of, words, texts }) => html`
        <li key=${of.id}><a href=${href(of.leads)}>${words}</a>${texts.map((text) => html` <span key=${text} class="problem">${text}.</span>`)}</li>`)}</ul>
    </details>`;
}

function Rest({ drawn }) {
  const types = Object.entries(drawn.left_out);
  const sum = types.reduce((before, [, many]) => before + many, 0);
  return html`
    ${drawn.more.nodes > 0 && html`<p class="warns">${plural(drawn.more.nodes, "more node")} and ${plural(drawn.more.arrows, "more arrow")} are too many to be shown.</p>`}
    ${drawn.unknown.length > 0 && html`
      <details class="map-rest"><summary>${plural(drawn.unknown.length, "thing")} to know</summary>
        <ul>${drawn.unknown.map((text) => html`<li key=${text}>${text}</li>`)}</ul></details>`}
    ${sum > 0 && html`
      <details class="map-rest"><summary>${plural(sum, "resource")} of ${plural(types.length, "other type")} not drawn</summary>
        <ul class="map-types">${types.map(([type, many]) => html`<li key=${type}>${type} <span class="quiet">${count(many)}</span></li>`)}</ul></details>`}`;
}
