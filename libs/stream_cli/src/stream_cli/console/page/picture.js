// The steps as a picture, from left to right: events, functions, rows, messages and objects. The list of steps says the same.
import { useMemo } from "preact/hooks";
import dagre from "@dagrejs/dagre";
import { html } from "./html.js";

const SHOWN = new Set(["event", "fault", "attempt", "call", "change", "message", "object", "refused", "given up", "undelivered", "filtered"]);
const WIDTH = 232;
const HEIGHT = 46;
const MOST = 300;
const LETTERS = 32;

export function Picture({ steps }) {
  const graph = useMemo(() => laidOut(steps), [steps]);
  return html`
    <div class="picture" tabindex="0" role="region" aria-label="Picture of the steps, which scrolls">
      <svg width=${graph.width} height=${graph.height} viewBox=${`0 0 ${graph.width} ${graph.height}`} role="img"
        aria-label=${`${graph.nodes.length} steps from left to right`}>
        ${graph.edges.map((points, place) => html`<path key=${place} class="edge" d=${curve(points)} />`)}
        ${graph.nodes.map((node) => html`
          <g key=${node.id} class=${`node node-${node.kind.replace(" ", "-")} ${node.failed ? "node-failed" : ""}`}
            transform=${`translate(${node.x - WIDTH / 2} ${node.y - HEIGHT / 2})`}>
            <title>${node.text}</title>
            <rect width=${WIDTH} height=${HEIGHT} rx="8" />
            <text x="10" y="19" class="node-name">${cut(node.name)}</text>
            <text x="10" y="36" class="node-more">${cut(node.more)}</text>
          </g>`)}
      </svg>
    </div>
    ${graph.left_out > 0 && html`<p class="quiet">${graph.left_out} more steps are in the list.</p>`}`;
}

function laidOut(steps) {
  const graph = new dagre.graphlib.Graph();
  graph.setGraph({ rankdir: "LR", nodesep: 14, ranksep: 44, marginx: 8, marginy: 8 });
  graph.setDefaultEdgeLabel(() => ({}));
  const merged = new Map();
  let count = 0, leftOut = 0;

  function add(step, above) {
    let own = above;
    if (SHOWN.has(step.kind)) {
      // What is tried again is one node.
      const again = step.kind === "attempt" || step.kind === "filtered" ? `${above} ${step.kind} ${step.facts?.function ?? step.text}` : null;
      own = (again && merged.get(again)) ?? null;
      if (own === null && count >= MOST) {
        leftOut += 1;
        return;
      }
      if (own === null) {
        own = `step-${count++}`;
        graph.setNode(own, { width: WIDTH, height: HEIGHT, id: own, times: 0 });
        if (above !== null) graph.setEdge(above, own);
        if (again) merged.set(again, own);
      }
      const node = graph.node(own);
      node.times += 1;
      Object.assign(node, { kind: step.kind, failed: step.failed, text: step.text, ...words(step, node.times) });
    }
    for (const each of step.steps ?? []) add(each, own);
  }

  for (const step of steps) add(step, null);
  dagre.layout(graph);
  const { width = 0, height = 0 } = graph.graph();
  return {
    width: Math.max(width, 1), height: Math.max(height, 1), left_out: leftOut,
    nodes: graph.nodes().map((id) => graph.node(id)), edges: graph.edges().map((edge) => graph.edge(edge).points),
  };
}

// Two lines for a step: what it is, and more about it.
function words(step, times) {
  const facts = step.facts ?? {};
  const at = `+${step.ms} ms`;
  const [first, ...rest] = step.text.split(" ");
  if (step.kind === "event") return { name: first, more: `${at} · ${facts.id ?? rest.join(" ")}` };
  if (step.kind === "fault") return { name: "fault", more: step.text.replace(/^fault [^:]*: /, "") };
  if (step.kind === "attempt") {
    return { name: facts.function ?? first, more: `${at} · ${facts.done ? "done" : facts.outcome}${times > 1 ? `, ${times} attempts` : ""}` };
  }
  if (step.kind === "call" && facts.function) return { name: facts.function, more: `${at} · ${step.text.slice(facts.function.length + 2)}` };
  if (step.kind === "change") return { name: facts.table ?? first, more: `${at} · ${step.text.replace(/^row /, "")}` };
  if (step.kind === "filtered") return { name: "filter drops it", more: step.text };
  return { name: step.kind, more: `${at} · ${step.text}` };
}

const cut = (text) => (text.length > LETTERS ? `${text.slice(0, LETTERS - 1)}…` : text);

function curve(points) {
  const [first, ...rest] = points;
  const last = rest.at(-1);
  const middle = (first.x + last.x) / 2;
  return `M${first.x},${first.y} C${middle},${first.y} ${middle},${last.y} ${last.x},${last.y}`;
}
