// Charts of a function: invocations, errors, durations, and the metrics that it logs.
import { useEffect, useState } from "preact/hooks";
import { count, duration, plural, time } from "./format.js";
import { html } from "./html.js";
import { useLoaded } from "./live.js";
import { encoded } from "./route.js";

const RANGES = { 5: "Last 5 minutes", 15: "Last 15 minutes", 60: "Last hour", 180: "Last 3 hours" };
const SHOWN = 6;
const UNITS = { Bytes: (value) => `${short(value)}B`, Percent: (value) => `${short(value)} %`, Milliseconds: duration, Seconds: (value) => duration(value * 1000) };
const shortly = new Intl.NumberFormat("en-GB", { notation: "compact", maximumFractionDigits: 2 });
const short = (value) => shortly.format(value);

// Loaded with the first chart: no other page needs what draws them.
function useChart() {
  const [found, set] = useState({ Chart: null, problem: null });
  useEffect(() => {
    import("./charts.js").then(({ Chart }) => set({ Chart, problem: null }), (problem) => set({ Chart: null, problem }));
  }, []);
  return found;
}

export function Measures({ name }) {
  const [minutes, setMinutes] = useState("15");
  const { Chart, problem } = useChart();
  const { content, error } = useLoaded(`functions/${encoded(name)}/measures`, { query: { minutes }, everyMs: 5000 });
  return html`
    <div class="measures">
      <label class="range"><span class="unseen">Range of time of the charts</span>
        <select value=${minutes} onChange=${(event) => setMinutes(event.currentTarget.value)}>
          ${Object.entries(RANGES).map(([value, words]) => html`<option key=${value} value=${value}>${words}</option>`)}</select></label>
      ${error && html`<p class="problem" role="alert">${error.message}</p>`}
      ${problem && html`<p class="problem" role="alert">Charts cannot be drawn: ${problem.message}</p>`}
      ${content && Chart && html`<${Charts} key=${minutes} content=${content} Chart=${Chart} />`}
    </div>`;
}

function Charts({ content, Chart }) {
  const { at, step, calls, logged } = content;
  const [all, setAll] = useState(false);
  const shown = all ? logged.metrics : logged.metrics.slice(0, SHOWN);
  const hidden = logged.metrics.length - shown.length;
  const per = `per ${step < 60_000 ? plural(step / 1000, "second") : plural(step / 60_000, "minute")}, from ${calls.from}`;
  return html`
    <${Chart} title="Invocations" note=${per} at=${at} format=${short} series=${[
      { label: "invocations", values: calls.invocations, colour: "--accent", kind: "bars" },
      { label: "errors", values: calls.errors, colour: "--bad", kind: "bars" }]} />
    <${Chart} title="Durations" at=${at} format=${duration} series=${[
      { label: "p50", values: calls.p50, colour: "--good", kind: "line" },
      { label: "p95", values: calls.p95, colour: "--warn", kind: "line" }]} />
    ${calls.cut && html`<p class="warns">There were too many invocations to look at: those before ${time(calls.cut)} are not in the charts.</p>`}
    ${logged.metrics.length > 0 ? html`
      <details class="metrics" open><summary><strong>${plural(logged.metrics.length, "metric")} that it logs</strong></summary>
        ${shown.map((each) => html`<${Metric} key=${keyOf(each)} each=${each} at=${at} Chart=${Chart} />`)}
        ${hidden > 0 && html`<button type="button" onClick=${() => setAll(true)}>Show ${plural(hidden, "more metric")}</button>`}
        ${logged.left_out > 0 && html`<p class="warns">${plural(logged.left_out, "metric")} more ${logged.left_out === 1 ? "is" : "are"} left out.</p>`}
      </details>` : html`<p class="quiet">It has logged no metrics in this time. With METRICS set to true, each invocation logs some.</p>`}`;
}

function Metric({ each, at, Chart }) {
  const about = Object.entries(each.about).map(([name, value]) => `${name} ${value}`).join(", ");
  const format = UNITS[each.unit] ?? ((value) => (Number.isInteger(value) ? count(value) : short(value)));
  return html`<${Chart} title=${each.name} note=${[each.how, about].filter(Boolean).join(", ")} at=${at} format=${format}
    series=${[{ label: each.name, values: each.values, colour: "--accent", kind: each.how === "sum" ? "bars" : "line" }]} />`;
}

const keyOf = (each) => JSON.stringify([each.namespace, each.name, each.unit, each.about]);
