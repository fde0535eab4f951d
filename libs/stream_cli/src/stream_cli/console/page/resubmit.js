// Resubmission of faults: what would be done, as the server says, and the button that has exactly this done.
import { useEffect, useRef, useState } from "preact/hooks";
import { get } from "./api.js";
import { plural, time } from "./format.js";
import { html } from "./html.js";
import { link } from "./route.js";

const OUTCOMES = { done: "resubmitted", failed: "its resubmission failed", "failed again": "resubmitted, and failed again", begun: "its resubmission was begun" };
const LEFT_OUT = {
  refused: "refused", impossible: "that cannot be resubmitted", done: "resubmitted before",
  "failed again": "resubmitted before, and failed again", interrupted: "interrupted in the middle",
};
const INCLUDED = { again: ["done", "interrupted"], failed_again: ["failed again"] };
const WORDS = { again: "Also what was resubmitted or interrupted before", failed_again: "Also what has failed again since" };

// What became of a fault that was resubmitted.
export function Outcome({ entry }) {
  if (!entry) return null;
  const bad = entry.outcome !== "done";
  return html` <span class=${bad ? "warns" : "good"}>${OUTCOMES[entry.outcome]} at <time>${time(entry.at)}</time></span>`;
}

// asked: of which faults. `begin` begins the job, and gives whether it did; `error` says why it did not.
export function Resubmit({ asked, begin, error, close }) {
  const [options, setOptions] = useState({});
  const [plan, setPlan] = useState(null);
  const [isLooking, setLooking] = useState(true);
  const [problem, setProblem] = useState(null);
  const [typed, setTyped] = useState("");
  const [isBeginning, setBeginning] = useState(false);
  const dialog = useRef(null);

  useEffect(() => {
    dialog.current.showModal();
  }, []);
  useEffect(() => {
    const left = new AbortController();
    setLooking(true); // the plan before stays, for what has the focus is in it
    setProblem(null);
    get("resubmission", { ...asked, ...options }, left.signal).then(setPlan, (failed) => {
      if (left.signal.aborted) return;
      setPlan(null);
      setProblem(failed);
    }).finally(() => left.signal.aborted || setLooking(false));
    return () => left.abort();
  }, [JSON.stringify([asked, options]), error]);

  async function submit(event) {
    event.preventDefault();
    setBeginning(true);
    if (await begin({ ...plan.asked, plan: plan.plan, ...(plan.type ? { typed } : {}) })) dialog.current?.close();
    else setBeginning(false);
  }

  const may = plan && plan.number > 0 && !plan.refusal && (!plan.type || typed === plan.type) && !isBeginning && !isLooking;
  return html`
    <dialog class="dialog" ref=${dialog} onClose=${close} aria-labelledby="resubmit-title">
      <form onSubmit=${submit}>
        <h2 id="resubmit-title">Resubmit</h2>
        <p class="quiet">The functions that failed are invoked with the original records. Nothing is done until you confirm.</p>
        ${error && html`<p class="problem" role="alert">${error.message}</p>`}
        ${problem && html`<p class="problem" role="alert">${problem.message}</p>`}
        <div role="status">${plan && !isLooking ? html`<${Planned} plan=${plan} />` : !problem && "Looking what would be done"}</div>
        ${plan && Object.entries(INCLUDED).map(([name, kinds]) => (options[name] || kinds.some((each) => plan.kinds_left_out[each])) && html`
          <label key=${name} class="tick"><input type="checkbox" checked=${Boolean(options[name])}
            onChange=${(event) => setOptions({ ...options, [name]: event.currentTarget.checked })} /> ${WORDS[name]}</label>`)}
        ${plan?.type && plan.number > 0 && !plan.refusal && html`
          <label class="typed"><span>${plan.type} is a production stage. Type its name to go on.</span>
            <input type="text" value=${typed} autocomplete="off" spellcheck=${false} onInput=${(event) => setTyped(event.currentTarget.value)} /></label>`}
        ${plan?.refusal && html`<p class="warns">${plan.refusal}</p>`}
        <div class="buttons">
          <button type="button" onClick=${() => dialog.current.close()}>Cancel</button>
          ${plan && !plan.refusal && plan.number > 0 && html`<button class="act" disabled=${!may}>${plan.what}</button>`}
        </div>
      </form>
    </dialog>`;
}

function Planned({ plan }) {
  const left = plan.left_out;
  return html`
    <h3>${plan.number ? `${plural(plan.number, "fault")} would be resubmitted` : "Nothing would be resubmitted"}</h3>
    ${plan.functions.map((each) => html`<p key=${each.function} class="message">${each.function} <span class="quiet">${plural(each.faults, "fault")}</span></p>`)}
    ${plan.due.length > 0 && html`<ul class="ids" tabindex="0" aria-label="Faults that would be resubmitted">${plan.due.map((each) => html`
      <li key=${each.id}>${each.id} <span class="quiet">${each.error}</span><${Outcome} entry=${each.before} /></li>`)}</ul>`}
    ${plan.number > plan.due.length && html`<p class="quiet">and ${plan.number - plan.due.length} more</p>`}
    ${plan.older && html`<p class="quiet">Only the newest faults are in this; there may be older ones.</p>`}
    ${left.length > 0 && html`
      <h3>Left out: ${Object.entries(plan.kinds_left_out).map(([kind, number]) => `${number} ${LEFT_OUT[kind]}`).join(", ")}</h3>
      <ul class="ids" tabindex="0" aria-label="Faults that are left out">${left.map((each) => html`
        <li key=${each.id}>${each.id} <span class=${each.kind === "refused" ? "problem" : "quiet"}>${each.why}</span></li>`)}</ul>`}`;
}

// What a job of this has done.
export function resubmitted(result) {
  return html`
    <p>${plural(result.done, "fault")} resubmitted${result.failed.length ? `, ${result.failed.length} failed` : ""}.
      ${result.taken.length > 0 && ` Another process has resubmitted ${result.taken.length} meanwhile.`}</p>
    ${result.traces.length > 0 && html`
      <details open=${result.traces.length === 1}><summary>What came of ${result.traces.length === 1 ? "it" : `these ${result.traces.length}`}</summary>
        <ul class="ids">${result.traces.map((each) => html`<li key=${each.id}><a href=${link("trace", each.trace)}>${each.trace}</a></li>`)}</ul></details>`}
    ${result.failed.length > 0 && html`<ul class="failures">${result.failed.map((each) => html`
      <li key=${each.id}><a href=${link("faults", each.id)}>${each.id}</a>: <span class="problem">${each.why}</span></li>`)}</ul>`}`;
}
