// The map as a picture: services with their nodes, the arrows between them, and what goes over these.
import { useMemo } from "preact/hooks";
import { ICONS, KINDS, VERBS, behind, isLate, rate, told, troubles } from "./figures.js";
import { duration } from "./format.js";
import { html } from "./html.js";
import { NODE, bent, laidOut, rounded } from "./layout.js";
import { link } from "./route.js";

const LETTERS = 20;
const ROW_LETTERS = 26;

export const href = ({ page, what, query }) => link(page, what, query);
// The name of a link begins with what can be seen of it, for those who say it.
const spoken = (texts) => texts.filter(Boolean).join(" ");
export const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

export function Diagram({ drawn, figures, width, zoom }) {
  const layout = useMemo(() => laidOut(drawn, width), [drawn.version, width]);
  const names = useMemo(() => new Map(drawn.nodes.map((node) => [node.id, node])), [drawn.version]);
  // Arrows of the node that is pointed at, or has the focus, are shown before others: without drawing anything anew.
  const light = (event) => {
    const id = event.type.endsWith("out") ? null : event.target.closest("[data-id]")?.dataset.id;
    event.currentTarget.toggleAttribute("data-lights", Boolean(id));
    for (const each of event.currentTarget.querySelectorAll("[data-ends]")) {
      each.toggleAttribute("data-lit", Boolean(id) && (each.dataset.arrow === id || each.dataset.ends.split("\n").includes(id)));
    }
  };
  const figureOf = (id) => figures?.arrows[id];
  return html`
    <svg class="map-picture" width=${layout.width * zoom} height=${layout.height * zoom} role="group"
      viewBox=${`0 0 ${layout.width} ${layout.height}`} aria-label="Map of what is deployed"
      onMouseOver=${light} onMouseOut=${light} onFocusIn=${light} onFocusOut=${light}>
      <defs>
        <marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerUnits="userSpaceOnUse" markerWidth="9" markerHeight="9" orient="auto">
          <path d="M0 0.5 8 4 0 7.5z" class="head" /></marker>
      </defs>
      ${layout.boxes.map((box) => html`<${Box} key=${box.id} box=${box} />`)}
      ${layout.through.toSorted((one, two) => weight(figureOf(one.arrow.id)) - weight(figureOf(two.arrow.id))).map(({ arrow, points }) => html`
        <path key=${arrow.id} class=${`through through-${arrow.kind} ${state(figureOf(arrow.id))}`} d=${rounded(points)}
          data-arrow=${arrow.id} data-ends=${`${arrow.start}\n${arrow.end}`} marker-end="url(#head)" />`)}
      ${layout.paths.map(({ arrow, points, label }) => html`
        <${Inner} key=${arrow.id} arrow=${arrow} points=${points} at=${label} figure=${figureOf(arrow.id)} names=${names} />`)}
      ${layout.nodes.map((node) => html`
        <${Node} key=${node.id} node=${node} figures=${figures} names=${names} />`)}
    </svg>`;
}

function Box({ box }) {
  const going = box.status && !box.status.endsWith("_COMPLETE");
  const failed = box.status?.includes("ROLLBACK") || box.status?.includes("FAILED");
  return html`
    <g class="map-group">
      <rect x=${box.x} y=${box.y} width=${box.width} height=${box.height} rx="12" />
      <text x=${box.x + 14} y=${box.y + 22} class="map-group-name">${box.name || "In no stack"}
        ${(going || failed) && html`<tspan class=${failed ? "map-bad" : "map-quiet"} dx="8">${box.status.toLowerCase().replaceAll("_", " ")}</tspan>`}</text>
    </g>`;
}

function state(figure) {
  if (!figure) return "";
  return `${figure.rate ? "flows" : ""} ${troubles(figure).length ? "troubled" : isLate(figure) ? "late" : ""}`;
}

// What shares a lane with others is drawn over them if more can be seen of it.
const weight = (figure) => (troubles(figure).length ? 3 : isLate(figure) ? 2 : figure?.rate ? 1 : 0);

export function labelOf(arrow, names, figure) {
  const [start, end] = [names.get(arrow.start), names.get(arrow.end)];
  const said = told(figure);
  return `${KINDS[start.kind] ?? start.kind} ${start.name} ${VERBS[arrow.kind]} ${KINDS[end.kind] ?? end.kind} ${end.name}${said && `: ${said}`}`;
}

function Inner({ arrow, points, at: { x, y }, figure, names }) {
  const label = labelOf(arrow, names, figure);
  const second = figure?.short ?? behind(figure);
  const first = rate(figure);
  const width = Math.max(first.length, second.length) * 6 + 8;
  return html`
    <g><title>${label}${arrow.why && `\n${arrow.why}`}</title>
    <a class=${`map-arrow map-arrow-${arrow.kind} ${state(figure)} ${arrow.disabled ? "map-disabled" : ""}`} href=${href(arrow.leads)}
      aria-label=${label} data-id=${arrow.id} data-arrow=${arrow.id} data-ends=${`${arrow.start}\n${arrow.end}`}>
      <path class="map-hit" d=${bent(points)} />
      <path class="map-line" d=${bent(points)} marker-end="url(#head)" />
      ${(first || second) && html`
        <rect class="map-pill" x=${x - width / 2} y=${y - (second ? 15 : 8)} width=${width} height=${second ? 29 : 16} rx="7" />
        ${first && html`<text class="map-rate" x=${x} y=${y + (second ? -3 : 4)}>${first} </text>`}
        ${second && html`<text class=${`map-rate ${figure.short ? "map-bad" : isLate(figure) ? "map-warn" : "map-quiet"}`} x=${x} y=${y + (first ? 10 : 4)}>${second}</text>`}`}
    </a></g>`;
}

function Node({ node, figures, names }) {
  const figure = figures?.nodes[node.id];
  const bad = troubles(figure);
  const said = told(figure);
  const words = KINDS[node.kind] ?? node.kind;
  const what = node.kind === "schedule" ? node.note : `${words}${node.disabled ? ", disabled" : ""}`;
  const both = `${rate(figure)}${figure?.ms === undefined ? "" : ` · ${duration(figure.ms)}`}`;
  const more = figure?.short ? [rate(figure), figure.short].filter(Boolean).join(" · ") : what.length + both.length < LETTERS ? both : rate(figure);
  const shown = [cut(node.name, LETTERS), what.length + more.length > LETTERS ? "" : what, cut(more, LETTERS)];
  const label = `${spoken(shown)}${node.disabled ? ", disabled" : ""}${said && `: ${said}`}`;
  return html`
    <g class=${`map-node map-node-${node.kind} ${bad.length ? "troubled" : ""} ${node.disabled ? "map-disabled" : ""}`}
      transform=${`translate(${node.x} ${node.y})`}>
      <title>${[node.full_name, node.note, ...bad, ...(figure?.notes ?? [])].filter(Boolean).join("\n")}</title>
      <rect class="map-body" width=${NODE.width} height=${node.height} rx="9" />
      <a href=${href(node.leads)} aria-label=${label} data-id=${node.id}>
        <rect class="map-focus" x="1" y="1" width=${NODE.width - 2} height=${NODE.head - 2} rx="8" />
        <g class="map-icon" transform="translate(9 7)"><rect width="26" height="30" rx="7" /><path d=${ICONS[node.kind] ?? ICONS.outside} transform="translate(5 7)" /></g>
        <text class="map-name" x="42" y="19">${shown[0]} </text>
        <text class="map-more" x="42" y="35">${shown[1]} </text>
        <text class=${`map-now ${bad.length ? "map-bad" : ""}`} x=${NODE.width - 9} y="35">${shown[2]}</text>
      </a>
      ${node.rows.map((row, place) => html`<${Row} key=${row.arrow.id} row=${row} place=${place} figure=${figures?.arrows[row.arrow.id]} names=${names} />`)}
    </g>`;
}

// An arrow to or from another service, or to the queue of what is given up.
function Row({ row: { arrow, other, out }, place, figure, names }) {
  const bad = troubles(figure);
  const label = labelOf(arrow, names, figure);
  const y = NODE.head + place * NODE.row;
  const sign = arrow.kind === "failure" ? "✕" : out ? "→" : "←";
  const more = [figure?.short ?? (isLate(figure) ? behind(figure) : ""), arrow.kind === "failure" ? "" : rate(figure)].filter(Boolean).join(" · ");
  const shown = cut(other.name, ROW_LETTERS - 3 - more.length);
  return html`
    <g transform=${`translate(0 ${y})`}><title>${label}${arrow.why && `\n${arrow.why}`}</title>
    <a class=${`map-row map-row-${arrow.kind} ${state(figure)} ${arrow.disabled ? "map-disabled" : ""}`} href=${href(arrow.kind === "failure" ? other.leads : arrow.leads)}
      aria-label=${`${spoken([shown, more])}: ${label}`} data-id=${arrow.id}>
      <rect class="map-focus" x="2" width=${NODE.width - 4} height=${NODE.row} rx="5" />
      <text class="map-row-name" x="9" y="13">${sign} ${shown} </text>
      <text class=${`map-row-rate ${bad.length ? "map-bad" : isLate(figure) ? "map-warn" : ""}`} x=${NODE.width - 9} y="13">${more}</text>
    </a></g>`;
}
