// A replay of the lake: which events, to what; what would be sent, as the server says; and the button that has exactly this sent.
import { useEffect, useRef, useState } from "preact/hooks";
import { get } from "./api.js";
import { count, plural } from "./format.js";
import { html } from "./html.js";
import { link } from "./route.js";

const PER_SECOND = "100";
// Fields of the form have no zone; what the server has answered has one.
const hasZone = (text) => text.endsWith("Z") || text.endsWith("+00:00");
const utc = (text) => (text && !hasZone(text) ? `${text}Z` : text);
const shown = (text) => (hasZone(text) ? text.replace("Z", "").replace("+00:00", "") : text).slice(0, 19);

// asked: what the form begins with; times are UTC. `begin` begins the job, and gives whether it did; `error` says why it did not.
export function Replay({ asked, types, begin, error, close }) {
  const [form, setForm] = useState({ types: [], since: "", until: "", rate: PER_SECOND, target: "", restart: false, ...asked });
  const [targets, setTargets] = useState(null);
  const [plan, setPlan] = useState(null);
  const [problem, setProblem] = useState(null);
  const [typed, setTyped] = useState("");
  const [busy, setBusy] = useState("");
  const dialog = useRef(null);
  useEffect(() => {
    dialog.current.showModal();
    get("replay/targets").then(setTargets, setProblem);
  }, []);
  // The button that asked for it is another one now, and a second press must not send anything.
  useEffect(() => { if (plan) dialog.current.querySelector("[role=status] h3").focus(); }, [plan]);
  const change = (name) => ({ currentTarget: it }) => {
    setForm({ ...form, [name]: it.type === "checkbox" ? it.checked : it.value });
    setPlan(null);
  };
  const choose = (type) => ({ currentTarget: it }) => {
    setForm({ ...form, types: it.checked ? [...form.types, type] : form.types.filter((each) => each !== type) });
    setPlan(null);
  };

  async function look(event) {
    event?.preventDefault();
    setBusy("looking");
    setPlan(null);
    setProblem(null);
    const [to, ...name] = form.target.split(" ");
    const { types: chosen, since, until, rate, restart } = form;
    const wanted = { types: chosen, since: utc(since), rate, faults: chosen.includes("fault"), restart, to, name: name.join(" "), ...(until ? { until: utc(until) } : {}) };
    try {
      setPlan(await get("replay", { asked: JSON.stringify(wanted) }));
    } catch (failed) {
      setProblem(failed);
    }
    setBusy("");
  }

  async function confirm() {
    setBusy("beginning");
    if (await begin({ ...plan.asked, plan: plan.plan, ...(plan.type ? { typed } : {}) })) dialog.current?.close();
    else {
      setPlan(null); // what would be sent is another by now, or cannot be sent
      setBusy("");
    }
  }

  const may = plan && plan.number > 0 && !plan.refusal && (!plan.type || typed === plan.type) && !busy;
  return html`
    <dialog class="dialog" ref=${dialog} onClose=${close} aria-labelledby="replay-title">
      <form onSubmit=${look}>
        <h2 id="replay-title">Replay</h2>
        <p class="quiet">Events of the lake are sent again, in order. Nothing is sent until you have seen what, and confirm it.</p>
        <label class="field"><span>To</span><select name="target" required value=${form.target} onChange=${change("target")}>
          <option value="">Choose a target</option>
          ${targets && html`
            <${Group} label="Functions that read a stream" kind="function" names=${targets.functions.filter((each) => each.reads).map((each) => each.name)} />
            <${Group} label="Other functions, called as if they did" kind="function" names=${targets.functions.filter((each) => !each.reads).map((each) => each.name)} />
            <${Group} label="Streams, and all that read them" kind="stream" names=${targets.streams} />
            <${Group} label="Buses, and all that their rules lead to" kind="bus" names=${targets.buses} />`}</select></label>
        <div class="fields">
          <label class="field"><span>Published since (UTC)</span><input type="datetime-local" name="since" step="1" value=${shown(form.since)} onInput=${change("since")} /></label>
          <label class="field"><span>Until (UTC; empty: now)</span><input type="datetime-local" name="until" step="1" value=${shown(form.until)} onInput=${change("until")} /></label>
          <label class="field"><span>Events per second at most</span><input type="number" name="rate" min="0.1" step="any" value=${form.rate} onInput=${change("rate")} /></label>
        </div>
        <fieldset class="field"><legend>Types (none: all but faults)</legend>
          ${[...new Set([...types, ...form.types])].map((type) => html`<label key=${type} class="choice"><input type="checkbox" checked=${form.types.includes(type)} onChange=${choose(type)} /> ${type || "no type"}</label>`)}</fieldset>
        ${(plan?.sent > 0 || plan?.complete || form.restart) && html`<label class="tick"><input type="checkbox" checked=${form.restart} onChange=${change("restart")} /> Begin again, although events were replayed before</label>`}
        ${(error || problem) && html`<p class="problem" role="alert">${(problem ?? error).message}</p>`}
        <div role="status">${busy === "looking" ? "Looking what would be sent" : plan && html`<${Planned} plan=${plan} />`}</div>
        ${plan?.type && plan.number > 0 && !plan.refusal && html`
          <label class="typed"><span>${plan.type} is a production stage. Type its name to go on.</span>
            <input type="text" value=${typed} autocomplete="off" spellcheck=${false} onInput=${(event) => setTyped(event.currentTarget.value)} /></label>`}
        ${plan?.refusal && html`<p class="warns">${plan.refusal}</p>`}
        <div class="buttons">
          <button type="button" onClick=${() => dialog.current.close()}>Cancel</button>
          ${plan && !plan.refusal && plan.number > 0
            ? html`<button type="button" class="act" disabled=${!may} onClick=${confirm}>${plan.what}</button>`
            : html`<button class="act" disabled=${Boolean(busy)}>Show what would be sent</button>`}
        </div>
      </form>
    </dialog>`;
}

function Group({ label, kind, names }) {
  return names.length > 0 && html`<optgroup label=${label}>${names.map((name) => html`<option key=${name} value=${`${kind} ${name}`}>${name}</option>`)}</optgroup>`;
}

function Planned({ plan }) {
  return html`
    <h3 tabindex="-1">${plan.number > 0 ? `${plural(plan.number, "event")} would be sent to ${plan.target}` : "Nothing would be sent"}</h3>
    ${plan.complete && html`<p>All ${count(plan.sent)} were replayed to ${plan.target} before.</p>`}
    ${!plan.complete && plan.sent > 0 && html`<p>An earlier run has sent ${count(plan.sent)} of ${count(plan.selected)}; this one goes on behind them.</p>`}
    ${plan.types.length > 0 && html`<ul class="ids" tabindex="0" aria-label="Events by type">${plan.types.map((each) => html`<li key=${each.type}>${each.type || "no type"} <span class="quiet">${plural(each.events, "event")}</span></li>`)}</ul>`}
    <p class="quiet">From ${plural(plan.objects, "object")} of the lake. Events that come later are not sent.</p>`;
}

// What a job of this has done; one that did not end goes on where it was.
export function replayed(result, state, ask) {
  const { to, name, rate = "", ...asked } = result.asked;
  return html`
    <p>${plural(result.sent, "event")} sent to ${result.target}. ${to === "function" && html`<a href=${link("functions", name)}>${name}</a>`}</p>
    ${(state === "stopped" || state === "failed") && html`<button type="button" onClick=${() => ask({ ...asked, rate, target: `${to} ${name}` })}>Go on …</button>`}`;
}
