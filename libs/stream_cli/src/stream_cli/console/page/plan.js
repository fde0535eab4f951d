// The last plan: whether a load holds, how long things take, what is near its limit, what it costs, and how it goes over the day.
import { useEffect, useState } from "preact/hooks";
import { bytes, count, duration, exactly, plural, time } from "./format.js";
import { html } from "./html.js";
import { Job, useJob } from "./job.js";
import { useLoaded } from "./live.js";

const COLOURS = ["--accent", "--good", "--warn", "--bad", "--line-5", "--line-6", "--line-7", "--line-8"];
const BEGINS = new Date(2000, 0, 1).getTime(); // a day of no date
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const shortly = new Intl.NumberFormat("en-GB", { notation: "compact", maximumSignificantDigits: 3 });
const LEAST = 0.001;
const short = (value) => (value > 0 && value < LEAST ? `< ${LEAST}` : shortly.format(value));
const wholly = (value) => (value < 1 ? duration(value * 1000) : value < 600 ? `${short(value)} s` : value < 7200 ? `${short(value / 60)} min` : `${short(value / 3600)} h`);
const seconds = (value) => duration(value * 1000);
const percent = (share) => `${share >= 0.1 || share === 0 ? Math.round(share * 100) : (share * 100).toPrecision(2)} %`;
const UNITS = { s: wholly, "%": (value) => `${short(value)} %`, "1/s": (value) => `${short(value)}/s` };

export function Plan() {
  const { content, error, again } = useLoaded("capacity", { everyMs: 10_000 });
  const job = useJob("capacity");
  const state = job.job?.state;
  useEffect(() => { if (state && state !== "running") again(); }, [state]);
  if (error && !content) return html`<p class="problem" role="alert">${error.message}</p>`;
  if (!content) return html`<p role="status">Loading</p>`;
  const { problem, plan, at } = content;
  if (problem) return html`<p class="quiet">${problem}</p>`;
  return html`
    <section class="events plan" aria-label="Plan">
      <${Form} plan=${plan} job=${job} />
      <${Job} of=${job} unit="plan" />
      ${plan ? html`<${Found} key=${at} plan=${plan} at=${at} />` : html`<p>There is no plan yet. A plan simulates a load on the compiled templates of a stage; nothing is deployed.</p>`}
    </section>`;
}

function Form({ plan, job }) {
  const [form, setForm] = useState(null);
  const shown = form ?? { stage: plan?.stage ?? "prod", rate: String(plan ? Number(plan.load.events_per_second.mean.toPrecision(4)) : 100), hours: String(plan ? plan.load.seconds / 3600 : 24), peak: "1" };
  const change = (name) => ({ currentTarget: it }) => setForm({ ...shown, [name]: it.value });
  const begin = (event) => {
    event.preventDefault();
    job.begin({ stage: shown.stage, rate: Number(shown.rate), hours: Number(shown.hours), peak: Number(shown.peak) });
  };
  return html`
    <form class="fields card plan-form" onSubmit=${begin} aria-label="Make a plan">
      <label class="field"><span>Stage</span><input name="stage" type="text" required pattern="[a-z][a-z0-9\\-]*" value=${shown.stage} onInput=${change("stage")} /></label>
      <label class="field"><span>Events/s from outside</span><input name="rate" type="number" required min="0" max="1e8" step="any" value=${shown.rate} onInput=${change("rate")} /></label>
      <label class="field"><span>Hours</span><input name="hours" type="number" required min="0.01" max="168" step="any" value=${shown.hours} onInput=${change("hours")} /></label>
      <label class="field"><span>Peak over mean (1 to 2)</span><input name="peak" type="number" required min="1" max="2" step="any" value=${shown.peak} onInput=${change("peak")} /></label>
      <button class="act" disabled=${job.job?.state === "running"}>Plan</button>
      <p class="quiet">More, such as single types, key skew, bursts, changes to templates and the load of a real day, has <code>streamctl plan</code>; the last plan is shown here.</p>
    </form>`;
}

function Found({ plan, at }) {
  const { load, journeys, cost, notes } = plan;
  const passed = plan.limits.filter((each) => each.is_passed);
  const mix = Object.entries(load.types).map(([name, each]) => `${name} ${short(each.mean)}/s`).join(", ");
  return html`
    <section class=${`card ${passed.length ? "card-stuck" : ""}`} aria-label="Result">
      <h2>${plan.stage} with ${short(load.events_per_second.mean)} events/s for ${wholly(load.seconds)}
        <span class="quiet"> ${mix}; made at <time datetime=${exactly(at)}>${time(at)}</time></span></h2>
      ${plan.changes.length > 0 && html`<p>With ${plan.changes.map((each) => html`<code key=${each}>${each}</code> `)}</p>`}
      ${notes.map((each) => html`<p key=${each} class="warns">${each}</p>`)}
      ${passed.length ? html`<p class="plan-verdict problem">It does not hold.</p><ul>${passed.map((each) => html`<li key=${each.part + each.limit}><${Passed} use=${each} /></li>`)}</ul>`
        : html`<p class="plan-verdict">It holds: nothing is refused for long, and nothing falls behind.</p>`}
      ${plan.remedy && html`<${Remedy} remedy=${plan.remedy} />`}
      ${plan.doubling && html`<${Doubling} doubling=${plan.doubling} />`}
    </section>
    <div class="plan-cards">
      <${Table} title="How long it takes" columns=${["Journey", "p50", "p99", "Max"]}
        rows=${Object.entries(journeys).map(([name, { latency_s: it }]) => [name, seconds(it.p50), seconds(it.p99), seconds(it.max)])} />
      <${Table} title="A month of this load" note=${`${cost.region}, list prices of ${cost.as_of}, after ${plural(cost.months, "month")}${plan.holds ? "" : ", of what gets through"}`} columns=${["Service", "Cost"]}
        rows=${[...Object.entries(cost.services).map(([name, of]) => [name, money(of, cost)]), ["Together", money(cost.total, cost)], ["A million events from outside", money(cost.per_million_events, cost)]]} />
    </div>
    <${Plots} series=${plan.series} />
    <${Limits} limits=${plan.limits} />
    <${Table} title="Event source mappings" columns=${["Mapping", "Records/s", "Batch", "Busiest lane", "Lag p99", "Max", "Waiting"]}
      rows=${Object.entries(plan.mappings).map(([name, it]) => [name, short(it.records_per_second.max), `${short(it.batch.mean)} of ${it.batch_size}`, `${percent(it.utilisation.max)} of ${count(it.lanes)}`, seconds(it.lag_s.p99), seconds(it.lag_s.max), short(it.backlog)])} />
    <${Table} title="Functions" columns=${["Function", "Invocations/s", "At once", "At most", "Duration", "Throttled"]}
      rows=${Object.entries(plan.functions).map(([name, it]) => [name, short(it.invocations_per_second.max), short(it.concurrency.mean), short(it.concurrency.max), seconds(it.duration_s.mean), short(it.throttled)])} />
    ${plan.advice?.length > 0 && html`<${Table} title="What to change" note="each by itself, at the busiest rate" columns=${["Change", "Solves", "A month", "p99"]}
      rows=${plan.advice.map((it) => [it.change, it.solves.join(", "), `${money(it.before.cost, cost)} → ${money(it.after.cost, cost)}`, `${seconds(it.before.latency_p99_s)} → ${seconds(it.after.latency_p99_s)}`])} />`}`;
}

const money = (value, { currency }) => new Intl.NumberFormat("en-GB", { style: "currency", currency, currencyDisplay: "narrowSymbol", maximumFractionDigits: value >= 100 ? 0 : 2 }).format(value);
const used = (use) => (use.unit === "%" ? `${Math.round(use.used)} %` : use.unit === "B/s" ? `${bytes(Math.round(use.used))}/s of ${bytes(use.most)}/s` : `${short(use.used)} of ${short(use.most)} ${use.unit}`);

function Passed({ use }) {
  return html`<strong>${use.part}</strong>, ${use.what}: ${used(use)}. <span class="quiet">Helps: ${use.helps}.</span>`;
}

function Remedy({ remedy }) {
  if (!remedy.changes.length && !remedy.limits.length && !remedy.spread.length && !remedy.unsolved.length) return null;
  return html`
    <h3>What makes it hold</h3>
    <ul>${remedy.changes.map((each) => html`<li key=${each}><code>--set ${each}</code></li>`)}
      ${remedy.spread.map((each) => html`<li key=${each}><code>--spread ${each}</code>, whose items share a key: add a day, a tenant or a number to it in the code</li>`)}
      ${remedy.limits.map((each) => html`<li key=${each}><code>--limit ${each}</code>, which AWS has to raise</li>`)}
      ${remedy.unsolved.map((each) => html`<li key=${each.part + each.limit} class="warns">No setting helps: <${Passed} use=${each} /></li>`)}</ul>`;
}

function Doubling({ doubling }) {
  const { gives, holds_events_per_second: holds } = doubling;
  if (gives && !holds) return null; // what does not hold stands above
  if (!gives) return html`<p>What gives first: nothing up to ${count(Math.round(holds))} events/s.</p>`;
  return html`
    <h3>What gives first: at ${count(Math.round(gives.events_per_second))} events/s <span class="quiet">${count(Math.round(holds))} still hold</span></h3>
    <ul>${gives.passed.map((each) => html`<li key=${each.part + each.limit}><${Passed} use=${each} /></li>`)}</ul>`;
}

function Limits({ limits }) {
  const [all, setAll] = useState(false);
  const shown = all ? limits : limits.slice(0, 10);
  return html`
    <section class="card" aria-label="The nearest limits"><h2>The nearest limits <span class="quiet">in the busiest second</span></h2>
      <div class="wide" tabindex="0" role="region" aria-label="Limits"><table class="stacks">
        <thead><tr><th scope="col">Of</th><th scope="col">What</th><th scope="col">Used</th><th scope="col" class="number">Share</th><th scope="col" class="number">All at events/s</th></tr></thead>
        <tbody>${shown.map((each) => html`
          <tr key=${each.part + each.limit}><th scope="row">${each.part}</th><td data-label="What" class="wraps">${each.what}</td><td data-label="Used">${used(each)}</td>
            <td data-label="Share" class=${`number ${each.is_passed ? "problem" : each.share > 0.5 ? "warns" : ""}`}><meter min="0" max="1" low="0.5" high="0.999" optimum="0" value=${Math.min(each.share, 1)} aria-label=${`Share of ${each.what} of ${each.part}`}></meter> ${percent(each.share)}</td>
            <td data-label="All at events/s" class="number">${each.at_events_per_second === null ? "—" : count(Math.round(each.at_events_per_second))}</td></tr>`)}</tbody></table></div>
      ${limits.length > shown.length && html`<button type="button" class="plan-more" onClick=${() => setAll(true)}>Show ${plural(limits.length - shown.length, "more limit")}</button>`}
    </section>`;
}

function Plots({ series }) {
  const [{ Chart, problem }, set] = useState({ Chart: null, problem: null });
  useEffect(() => {
    import("./charts.js").then(({ Chart: found }) => set({ Chart: found, problem: null }), (failed) => set({ Chart: null, problem: failed }));
  }, []);
  if (problem) return html`<p class="problem" role="alert">Charts cannot be drawn: ${problem.message}</p>`;
  const length = Math.max(0, ...series.plots.flatMap((plot) => Object.values(plot.of).map((values) => values.length)));
  const at = Array.from({ length }, (_, place) => BEGINS + place * series.step_s * 1000);
  return html`
    <section class="card plan-plots" aria-label="Over the time"><h2>Over the time <span class="quiet">the highest value of each ${plural(series.step_s, "second")}</span></h2>
      ${Chart && series.plots.map((plot) => html`
        <${Chart} key=${plot.title} title=${plot.title} at=${at} format=${UNITS[plot.unit] ?? short} when=${(ms) => clock.format(ms)}
          series=${Object.entries(plot.of).map(([label, values], place) => ({ label, values, colour: COLOURS[place % COLOURS.length], kind: "line" }))} />`)}
    </section>`;
}

function Table({ title, note = "", columns, rows }) {
  if (!rows.length) return null;
  return html`
    <section class="card" aria-label=${title}><h2>${title} <span class="quiet">${note}</span></h2>
      <div class="wide" tabindex="0" role="region" aria-label=${`Table: ${title}`}><table class="stacks">
        <thead><tr>${columns.map((each, place) => html`<th key=${each} scope="col" class=${place ? "number" : ""}>${each}</th>`)}</tr></thead>
        <tbody>${rows.map(([first, ...others]) => html`
          <tr key=${first}><th scope="row">${first}</th>${others.map((each, place) => html`<td key=${place} data-label=${columns[place + 1]} class="number">${each}</td>`)}</tr>`)}</tbody></table></div>
    </section>`;
}
