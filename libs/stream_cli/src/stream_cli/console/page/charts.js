// A chart by time, drawn by uPlot, with its values at the pointer, and as a table for whoever cannot see it.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { html } from "./html.js";
import { exactly, time } from "./format.js";

const HEIGHT = 130;
const DENSE = 200; // of so many values in a line, single ones are not marked
const PATHS = { bars: uPlot.paths.bars({ size: [0.8, 24] }), line: undefined };
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const colourOf = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// series: [{ label, values, colour: a variable of console.css, kind: "bars" or "line" }]; `format` makes a value readable, `when` a time.
export function Chart({ title, at, series, format, when = time, note = "" }) {
  const box = useRef(null);
  const chart = useRef(null);
  const [pointed, point] = useState(null);
  const dark = useDark();
  const shape = JSON.stringify([dark, series.map(({ label, colour, kind }) => [label, colour, kind])]);

  useLayoutEffect(() => {
    const options = optionsOf(series, box.current.clientWidth || 300, format, point);
    chart.current = new uPlot(options, [at, ...series.map((each) => each.values)], box.current);
    const resized = new ResizeObserver(([{ contentRect }]) => {
      if (contentRect.width > 0 && contentRect.width !== chart.current.width) chart.current.setSize({ width: contentRect.width, height: HEIGHT });
    });
    resized.observe(box.current);
    return () => {
      resized.disconnect();
      chart.current.destroy();
    };
  }, [shape]);
  useEffect(() => chart.current.setData([at, ...series.map((each) => each.values)]), [at]);

  const values = series.map((each) => each.values.filter((value) => value !== null));
  const most = values.map((each) => (each.length ? format(Math.max(...each)) : "nothing"));
  const summary = `${title}: ${series.map((each, place) => `${each.label} at most ${most[place]}`).join(", ")}. The table below has the values.`;
  return html`
    <figure class="chart">
      <figcaption><strong>${title}</strong> <span class="quiet">${note}</span>
        <span class="chart-legend">${series.map((each) => html`
          <span key=${each.label} class=${`mark mark${each.colour}`}>${each.label}${pointed !== null && each.values[pointed] !== null && each.values[pointed] !== undefined ? `: ${format(each.values[pointed])}` : ""}</span>`)}
          ${pointed !== null && at[pointed] && html`<span class="quiet">${when(at[pointed])}</span>`}</span>
      </figcaption>
      <div ref=${box} class="chart-box" role="img" aria-label=${summary}></div>
      <${AsTable} title=${title} at=${at} series=${series} format=${format} when=${when} />
    </figure>`;
}

function AsTable({ title, at, series, format, when }) {
  const [isOpen, setOpen] = useState(false);
  const places = isOpen ? at.map((_, place) => place).filter((place) => series.some((each) => each.values[place])).reverse() : [];
  return html`
    <details onToggle=${(event) => setOpen(event.currentTarget.open)}><summary class="quiet">As a table</summary>
      ${isOpen && html`<div class="wide" tabindex="0" role="region" aria-label=${`Values of ${title}`}><table>
        <thead><tr><th scope="col">From</th>${series.map((each) => html`<th key=${each.label} scope="col" class="number">${each.label}</th>`)}</tr></thead>
        <tbody>${places.map((place) => html`
          <tr key=${at[place]}><th scope="row"><time datetime=${exactly(at[place])}>${when(at[place])}</time></th>
            ${series.map((each) => html`<td key=${each.label} class="number">${each.values[place] === null ? "—" : format(each.values[place])}</td>`)}</tr>`)}</tbody>
      </table>${!places.length && html`<p class="quiet">There are no values.</p>`}</div>`}
    </details>`;
}

function optionsOf(series, width, format, point) {
  const axis = { stroke: colourOf("--quiet"), grid: { stroke: colourOf("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
  return {
    width, height: HEIGHT, ms: 1, legend: { show: false }, padding: [8, 8, 0, 0],
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
    scales: { y: { range: (_, least, most) => [0, most > 0 ? most * 1.08 : 1] } },
    axes: [{ ...axis, size: 26, space: 70, values: (_, splits) => splits.map((at) => clock.format(at)) }, { ...axis, size: 62, values: (_, splits) => splits.map(format) }],
    series: [{}, ...series.map(({ label, values, colour, kind }) => ({
      label, stroke: colourOf(colour), width: kind === "bars" ? 0 : 1.5, fill: kind === "bars" ? colourOf(colour) : undefined,
      paths: PATHS[kind], spanGaps: true, points: { show: kind !== "bars" && values.length <= DENSE, size: 4 },
    }))],
    hooks: { setCursor: [(chart) => point(chart.cursor.idx ?? null)] },
  };
}

function useDark() {
  const query = useRef(matchMedia("(prefers-color-scheme: dark)")).current;
  const [is, set] = useState(query.matches);
  useEffect(() => {
    const changed = () => set(query.matches);
    query.addEventListener("change", changed);
    return () => query.removeEventListener("change", changed);
  }, []);
  return is;
}
