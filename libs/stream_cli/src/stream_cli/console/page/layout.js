// Where everything of the map is. Each service is laid out by itself; services that publish stand above the hub, those
// that only take from it below. An arrow between services ends in a row of the node that is not of the hub.
import dagre from "@dagrejs/dagre";

export const NODE = { width: 170, head: 44, row: 19 };
const PAD = { side: 14, top: 34, bottom: 14 };
const GAP = { x: 20, y: 22, lane: 9 };
const RANK_GAP = 22;
const LABEL = { width: 50, height: 28 };
const MARGIN = 14;
const MANY = 150; // nodes of a service, above which the quicker way of ranking is taken
const CHANNEL = 12;
const CENTRAL = new Set(["bus", "stream"]);

export function laidOut({ groups, nodes, arrows }, available) {
  const byId = new Map(nodes.map((node) => [node.id, { ...node, rows: [] }]));
  const docked = dock(byId, arrows);
  const inner = [], outer = [];
  for (const arrow of arrows) {
    const [start, end] = [byId.get(arrow.start), byId.get(arrow.end)];
    if (docked.has(arrow.end)) continue;
    (start.group === end.group ? inner : outer).push(arrow);
  }
  const hub = hubOf(byId, outer);
  for (const arrow of outer) {
    const [start, end] = [byId.get(arrow.start), byId.get(arrow.end)];
    const isOut = start.group !== hub;
    (isOut ? start : end).rows.push({ arrow, other: isOut ? end : start, out: isOut });
  }
  for (const node of byId.values()) node.rows.sort((one, two) => placeOf(one) - placeOf(two));
  const boxes = new Map(groups.map((group) => [group.id, { ...group, nodes: [], arrows: [] }]));
  for (const node of byId.values()) {
    if (docked.has(node.id)) continue;
    if (!boxes.has(node.group)) boxes.set(node.group, { id: node.group, name: "", nodes: [], arrows: [] });
    boxes.get(node.group).nodes.push(node);
  }
  for (const arrow of inner) boxes.get(byId.get(arrow.start).group).arrows.push(arrow);
  const filled = [...boxes.values()].filter((box) => box.nodes.length);
  for (const box of filled) arrange(box, byId, available - 2 * MARGIN);
  const rows = inRows(filled, hub, outer, byId, available - 2 * MARGIN);
  return { ...placed(rows, byId, outer, hub), docked };
}

// A queue that only gets what is given up stands in the node that gives it up.
function dock(byId, arrows) {
  const before = new Map(), leaving = new Set();
  for (const arrow of arrows) {
    leaving.add(arrow.start);
    before.set(arrow.end, [...(before.get(arrow.end) ?? []), arrow]);
  }
  const docked = new Set();
  for (const node of byId.values()) {
    const into = before.get(node.id) ?? [];
    const host = into.map((arrow) => byId.get(arrow.start)).find((each) => each.group === node.group);
    const fails = into.length && into.every((arrow) => arrow.kind === "failure") && !leaving.has(node.id);
    if (node.kind !== "queue" || !fails || !host) continue;
    docked.add(node.id);
    for (const arrow of into) byId.get(arrow.start).rows.push({ arrow, other: node, out: true });
  }
  return docked;
}

// The service whose buses and streams most arrows of others lead to or come from.
function hubOf(byId, outer) {
  const counts = new Map();
  for (const arrow of outer) {
    for (const id of [arrow.start, arrow.end]) {
      const { group, kind } = byId.get(id);
      if (CENTRAL.has(kind) && group) counts.set(group, (counts.get(group) ?? 0) + 1);
    }
  }
  return [...counts].sort((one, two) => two[1] - one[1])[0]?.[0] ?? null;
}

const placeOf = ({ arrow, out }) => (arrow.kind === "failure" ? 2 : out ? 1 : 0);
const heightOf = (node) => NODE.head + node.rows.length * NODE.row + (node.rows.length ? 4 : 0);

// The nodes of a service, from its upper left corner.
function arrange(box, byId, available) {
  const graph = new dagre.graphlib.Graph({ multigraph: true });
  const ranker = box.nodes.length > MANY ? "longest-path" : "network-simplex";
  graph.setGraph({ rankdir: "LR", nodesep: 16, ranksep: RANK_GAP, ranker });
  const linked = new Set(box.arrows.flatMap((arrow) => [arrow.start, arrow.end]));
  for (const node of box.nodes) {
    node.height = heightOf(node);
    if (linked.has(node.id)) graph.setNode(node.id, { width: NODE.width, height: node.height });
  }
  for (const arrow of box.arrows) graph.setEdge(arrow.start, arrow.end, { ...LABEL, labelpos: "c" }, arrow.id);
  if (linked.size) dagre.layout(graph);
  const { width = 0, height = 0 } = linked.size ? graph.graph() : {};
  for (const id of linked) {
    const { x, y } = graph.node(id), node = byId.get(id);
    Object.assign(node, { x: x - NODE.width / 2, y: y - node.height / 2 });
  }
  box.paths = box.arrows.map((arrow) => {
    const { points, x, y } = graph.edge(arrow.start, arrow.end, arrow.id);
    return { arrow, points, label: { x, y } };
  });
  // What nothing leads to or from, in rows below.
  const most = Math.max(Math.floor(Math.max(width, Math.min(available - 2 * PAD.side, 900)) / (NODE.width + 16)), 1);
  const alone = box.nodes.filter((node) => !linked.has(node.id));
  let top = linked.size ? height + 16 : 0, right = width;
  for (let first = 0; first < alone.length; first += most) {
    const row = alone.slice(first, first + most);
    row.forEach((node, place) => Object.assign(node, { x: place * (NODE.width + 16), y: top }));
    right = Math.max(right, row.length * (NODE.width + 16) - 16);
    top += Math.max(...row.map((node) => node.height)) + 16;
  }
  box.width = right + 2 * PAD.side;
  box.height = (alone.length ? top - 16 : height) + PAD.top + PAD.bottom;
}

function inRows(boxes, hub, outer, byId, available) {
  const publishing = new Set(outer.filter((arrow) => byId.get(arrow.end).group === hub).map((arrow) => byId.get(arrow.start).group));
  const wide = (some) => some.toSorted((one, two) => two.width - one.width);
  const above = hub === null ? wide(boxes) : wide(boxes.filter((box) => box.id !== hub && publishing.has(box.id)));
  const middle = boxes.filter((box) => box.id === hub);
  const below = hub === null ? [] : wide(boxes.filter((box) => box.id !== hub && !publishing.has(box.id)));
  return [...shelves(above, available).reverse(), ...(middle.length ? [middle] : []), ...shelves(below, available)];
}

// Each box goes to the first row that has room for it.
function shelves(boxes, available) {
  const rows = [];
  for (const box of boxes) {
    const row = rows.find((each) => each.reduce((sum, one) => sum + one.width + GAP.x, box.width) <= available);
    if (row) row.push(box);
    else rows.push([box]);
  }
  return rows;
}

function placed(rows, byId, outer, hub) {
  const hubRow = rows.findIndex((row) => row.some((box) => box.id === hub));
  const lanes = lanesOf(outer, byId, hub);
  const aside = rows.some((_, place) => Math.abs(place - hubRow) > 1) && hubRow >= 0 ? Math.max(lanes.size, 1) * GAP.lane + 6 : 0;
  let y = MARGIN, width = 0;
  const gutters = [];
  rows.forEach((row, place) => {
    let x = MARGIN + aside;
    for (const box of row) {
      Object.assign(box, { x, y });
      for (const node of box.nodes) Object.assign(node, { x: node.x + x + PAD.side, y: node.y + y + PAD.top, row: place });
      const moved = (point) => ({ x: point.x + box.x + PAD.side, y: point.y + box.y + PAD.top });
      for (const path of box.paths) Object.assign(path, { points: path.points.map(moved), label: moved(path.label) });
      x += box.width + GAP.x;
    }
    width = Math.max(width, x - GAP.x + MARGIN);
    y += Math.max(...row.map((box) => box.height));
    gutters[place] = y + GAP.y / 2;
    y += GAP.y + (hubRow >= 0 ? lanes.size * GAP.lane : 0);
  });
  const boxes = rows.flat();
  const known = new Map(boxes.map((box) => [box.id, box]));
  const through = outer.map((arrow) => ({ arrow, points: routed(arrow, byId, hub, lanes, gutters, known) }));
  return {
    width, height: y + MARGIN - GAP.y, boxes, nodes: boxes.flatMap((box) => box.nodes),
    paths: boxes.flatMap((box) => box.paths), through,
  };
}

// Arrows that come from or lead to the same node of the hub share a lane between the services.
function lanesOf(outer, byId, hub) {
  const lanes = new Map();
  for (const arrow of outer) {
    const key = laneOf(arrow, byId, hub);
    if (!lanes.has(key)) lanes.set(key, { place: lanes.size });
  }
  return lanes;
}

function laneOf(arrow, byId, hub) {
  const isOut = byId.get(arrow.start).group !== hub;
  return isOut ? `to ${arrow.end}` : `from ${arrow.start}`;
}

// From the row of a node, beside it, between the services, and to the node of the hub.
function routed(arrow, byId, hub, lanes, gutters, boxes) {
  const [start, end] = [byId.get(arrow.start), byId.get(arrow.end)];
  const isOut = start.group !== hub;
  const [own, other] = isOut ? [start, end] : [end, start];
  const lane = lanes.get(laneOf(arrow, byId, hub)).place;
  const place = own.rows.findIndex((row) => row.arrow.id === arrow.id);
  const y = own.y + NODE.head + (place + 0.5) * NODE.row;
  const side = isOut ? own.x + NODE.width : own.x;
  const beside = isOut ? side + CHANNEL + lane * 3 : side - CHANNEL + 4 - lane * 3;
  const isAbove = own.row < other.row;
  const first = gutters[isAbove ? own.row : own.row - 1] + lane * GAP.lane;
  const last = gutters[isAbove ? other.row - 1 : other.row] + lane * GAP.lane;
  const points = [{ x: side, y }, { x: beside, y }];
  if (own.row === other.row) {
    points.push({ x: beside, y: other.y + NODE.head / 2 });
    points.push({ x: other.x + (other.x < beside ? NODE.width : 0), y: other.y + NODE.head / 2 });
    return isOut ? points : points.toReversed();
  }
  const shut = boxes.get(other.group).nodes.some((node) => node !== other && node.x < other.x + NODE.width && other.x < node.x + NODE.width
    && (isAbove ? node.y < other.y : node.y > other.y));
  const beyond = isOut ? other.x - CHANNEL - lane * 3 : other.x + NODE.width + CHANNEL + lane * 3;
  const into = shut ? beyond : other.x + NODE.width / 2 + (lane % 5 - 2) * GAP.lane;
  points.push({ x: beside, y: first });
  if (first !== last) {
    const aside = MARGIN + lane * GAP.lane;
    points.push({ x: aside, y: first }, { x: aside, y: last });
  }
  points.push({ x: into, y: last });
  if (shut) points.push({ x: into, y: other.y + NODE.head / 2 }, { x: isOut ? other.x : other.x + NODE.width, y: other.y + NODE.head / 2 });
  else points.push({ x: into, y: isAbove ? other.y : other.y + other.height });
  return isOut ? points : points.toReversed();
}

const RADIUS = 6;

// Straight pieces with round corners.
export function rounded(points) {
  const parts = [`M${points[0].x},${points[0].y}`];
  for (let place = 1; place < points.length - 1; place++) {
    const [before, here, after] = points.slice(place - 1, place + 2);
    const into = towards(here, before), out = towards(here, after);
    parts.push(`L${into.x},${into.y} Q${here.x},${here.y} ${out.x},${out.y}`);
  }
  const last = points.at(-1);
  return `${parts.join(" ")} L${last.x},${last.y}`;
}

function towards(from, to) {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const long = Math.hypot(dx, dy) || 1;
  const step = Math.min(RADIUS, long / 2) / long;
  return { x: from.x + dx * step, y: from.y + dy * step };
}

// Through all points, bent between them.
export function bent(points) {
  const first = points[0], last = points.at(-1);
  if (points.length < 3) return `M${first.x},${first.y} L${last.x},${last.y}`;
  const parts = [`M${first.x},${first.y}`];
  for (let place = 1; place < points.length - 1; place++) {
    const here = points[place], next = points[place + 1];
    const to = place === points.length - 2 ? last : { x: (here.x + next.x) / 2, y: (here.y + next.y) / 2 };
    parts.push(`Q${here.x},${here.y} ${to.x},${to.y}`);
  }
  return parts.join(" ");
}
