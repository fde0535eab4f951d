// A job: begun, followed until it has ended, stopped; its progress is seen, and announced to screen readers.
import { useEffect, useRef, useState } from "preact/hooks";
import { get, post } from "./api.js";
import { count, duration, plural, time } from "./format.js";
import { html } from "./html.js";
import { visible } from "./live.js";

const EVERY_MS = 300;
const AGAIN_MS = 2000;
const STATES = { running: "Running", done: "Done", failed: "Failed", stopped: "Stopped" };

// The job of a kind that runs or that this page has begun, and what begins one and stops it. `begin` gives whether it did.
export function useJob(kind) {
  const [state, set] = useState({ job: null, error: null });
  const place = useRef({ id: null, timer: null, gone: false });
  const here = place.current;

  async function look() {
    const { id } = here;
    let wait = EVERY_MS;
    await visible();
    if (here.gone || here.id !== id) return;
    try {
      const job = await get(`jobs/${id}`);
      if (here.gone || here.id !== id) return;
      set({ job, error: null });
      if (job.state !== "running") return;
    } catch (error) {
      if (here.gone || here.id !== id) return;
      set((before) => ({ ...before, error }));
      if (error.status === 404) return; // the console was started again, and the job has ended with it
      wait = AGAIN_MS;
    }
    here.timer = setTimeout(look, wait);
  }

  function follow(id) {
    clearTimeout(here.timer);
    here.id = id;
    return look();
  }

  useEffect(() => {
    here.gone = false;
    get("jobs").then(({ jobs }) => {
      const running = jobs.find((job) => job.kind === kind && job.state === "running");
      if (running && !here.gone && here.id === null) follow(running.id);
    }, () => {}); // the page's own question tells what is wrong
    return () => {
      here.gone = true;
      clearTimeout(here.timer);
    };
  }, [kind]);

  async function begin(body) {
    try {
      const { id } = await post(`jobs/${kind}`, body);
      set({ job: null, error: null });
      await follow(id);
      return true;
    } catch (error) {
      set((before) => ({ ...before, error }));
      return false;
    }
  }

  async function stop() {
    try {
      set({ job: await post(`jobs/${here.id}/stop`, {}), error: null });
    } catch (error) {
      set((before) => ({ ...before, error }));
    }
  }

  // What was wrong before is no longer shown, such as when somebody begins anew.
  const forget = () => set((before) => ({ ...before, error: null }));
  return { ...state, begin, stop, forget };
}

// What a page shows of it. `of` is what useJob gives; `result`, if there is one, makes the result readable; `unit` is what is counted.
export function Job({ of, result = null, unit = "record" }) {
  const { job, error, stop } = of;
  return html`
    ${error && html`<p class="problem" role="alert">${error.message}</p>`}
    <p class="unseen" role="status">${job ? announced(job, unit) : ""}</p>
    ${job && html`
      <section class=${`job job-${job.state}`} aria-label=${job.what}>
        <div class="job-head"><h3>${job.what}</h3>
          ${job.state === "running"
            ? html`<button type="button" disabled=${job.stopping} onClick=${stop}>${job.stopping ? "Stopping" : "Stop"}</button>`
            : html`<span class=${job.state === "failed" ? "problem" : "quiet"}>${STATES[job.state]} at ${time(job.ended)}, after ${duration(job.ended - job.began)}</span>`}
        </div>
        <progress aria-label="Progress" max=${job.total ?? 1} value=${job.total === null ? (job.state === "running" ? null : 1) : job.done}></progress>
        <p class="quiet">${far(job, unit)}</p>
        ${job.problem && html`<p class="problem">${job.problem}</p>`}
        ${job.lines.length > 0 && html`<ol class="failures">${job.lines.map((line, number) => html`<li key=${number}>${line}</li>`)}</ol>`}
        ${result && job.result !== null && result(job.result)}
      </section>`}`;
}

const far = (job, unit) => (job.total === null ? `${count(job.done)} so far` : `${count(job.done)} of ${plural(job.total, unit)}`);

// In steps of a quarter: a screen reader that reads each number never ends.
function announced(job, unit) {
  if (job.state !== "running") return `${STATES[job.state]}: ${job.what}. ${far(job, unit)}. ${job.problem}`;
  const quarter = job.total ? Math.floor((4 * job.done) / job.total) : 0;
  return `${job.what}: ${quarter ? `${25 * quarter} %` : "running"}`;
}
