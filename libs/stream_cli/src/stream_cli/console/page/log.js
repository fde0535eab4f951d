// The last lines of a function's log, as they come.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { get } from "./api.js";
import { count, exactly, plural, time } from "./format.js";
import { html } from "./html.js";
import { useLive } from "./live.js";
import { encoded, link } from "./route.js";

const LEVELS = ["PLATFORM", "TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"];
const CHOICES = { PLATFORM: "All, also Lambda's own", TRACE: "All levels", INFO: "Info and above", WARNING: "Warnings and above", ERROR: "Errors" };
const MOST = 2000; // lines that the page holds
const AGAIN_MS = 2000;
const SOON_MS = 1000;

// The lines that came, the oldest first; more are asked for while this is shown.
function useLog(name) {
  const [state, set] = useState({ lines: [], loaded: false, error: null, answer: null });
  const here = useRef({}).current;
  useEffect(() => {
    Object.assign(here, { last: 0, asking: false, asked: 0, timer: null, gone: new AbortController() });
    set({ lines: [], loaded: false, error: null, answer: null });
    ask();
    return () => {
      here.gone.abort();
      clearTimeout(here.timer);
    };
  }, [name]);

  async function ask() {
    const { gone } = here;
    clearTimeout(here.timer);
    if (!document.hidden) {
      Object.assign(here, { asking: true, asked: performance.now() });
      try {
        const answer = await get(`functions/${encoded(name)}/log`, { after: here.last }, gone.signal);
        // The console was started again, or had let go of this log: its numbers begin anew.
        const anew = here.last > 0 && answer.id !== here.id;
        Object.assign(here, { id: answer.id, last: anew ? 0 : answer.last });
        set((before) => ({ lines: anew ? [] : trimmed([...before.lines, ...answer.lines]), loaded: true, error: null, answer }));
      } catch (error) {
        if (!gone.signal.aborted) set((before) => ({ ...before, loaded: true, error }));
      }
      here.asking = false;
    }
    if (!gone.signal.aborted) here.timer = setTimeout(ask, AGAIN_MS);
  }

  useLive((message) => {
    if (!message.counts.call || here.asking || here.gone.signal.aborted) return;
    clearTimeout(here.timer);
    here.timer = setTimeout(ask, Math.max(0, here.asked + SOON_MS - performance.now()));
  });
  return state;
}

// Of too many lines, warnings and errors stay longer.
function trimmed(lines) {
  if (lines.length <= MOST) return lines;
  const severe = lines.slice(0, -MOST / 2).filter(({ level }) => LEVELS.indexOf(level) >= LEVELS.indexOf("WARNING"));
  return [...severe.slice(-MOST / 2), ...lines.slice(-MOST / 2)];
}

export function Log({ name }) {
  const { lines, loaded, error, answer } = useLog(name);
  const [level, setLevel] = useState("TRACE");
  const [text, setText] = useState("");
  const wanted = text.toLowerCase();
  const shown = lines.filter((line) => LEVELS.indexOf(line.level) >= LEVELS.indexOf(level) && (!wanted || textOf(line).includes(wanted)));
  const box = useRef(null);
  const atEnd = useRef(true);
  useLayoutEffect(() => {
    if (atEnd.current && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [shown.length, lines]);
  const scrolled = ({ currentTarget: it }) => { atEnd.current = it.scrollHeight - it.scrollTop - it.clientHeight < 30; };
  return html`
    <section aria-label="Log">
      <div class="log-head"><h3>Log</h3>
        <label><span class="unseen">Levels</span><select name="level" value=${level} onChange=${(event) => setLevel(event.currentTarget.value)}>
          ${Object.entries(CHOICES).map(([value, words]) => html`<option key=${value} value=${value}>${words}</option>`)}</select></label>
        <label class="log-text"><span class="unseen">Text in the log</span><input type="search" name="log-text" placeholder="Text" value=${text} autocomplete="off"
          spellcheck=${false} onInput=${(event) => setText(event.currentTarget.value)} /></label></div>
      ${error && html`<p class="problem" role="alert">${error.message}</p>`}
      ${answer?.problem && html`<p class="quiet">${answer.problem}</p>`}
      <div class="log" tabindex="0" role="region" aria-label="Lines of the log, the newest at the end" ref=${box} onScroll=${scrolled}>
        ${shown.length > 0 && html`<ol>${shown.map((line) => html`<${Line} key=${line.number} line=${line} />`)}</ol>`}
        ${loaded && !shown.length && html`<p class="quiet">${lines.length ? "No line is like this." : "No line yet."}</p>`}
      </div>
      ${answer?.since && html`<p class="quiet" role="status">${`${plural(shown.length, "line")} shown of ${count(answer.last)} since ${time(answer.since)}`}${
        answer.last > lines.length ? `; the last ${count(lines.length)} are held. ` : ". "}</p>`}
      ${answer?.older && html`<p class="quiet">Older ones: <code>${answer.older}</code></p>`}
    </section>`;
}

function Line({ line }) {
  const { request, event, ...about } = line.about;
  const named = Object.entries({ ...about, ...line.more });
  return html`
    <li class=${`log-line log-${line.level}`}>
      <time datetime=${exactly(line.at)}>${time(line.at)}</time> <span class="log-level">${line.level}</span> ${line.message}
      ${event && html` <a href=${link("trace", event)}>event ${event}</a>`}
      ${request && html` <a href=${link("trace", request)} aria-label=${`trace of request ${request}`}>request ${request.slice(0, 8)}</a>`}
      ${named.length > 0 && html` <span class="quiet">${named.map(([each, value]) => `${each}=${value}`).join(" ")}</span>`}
      ${line.stack.length > 0 && html`<details><summary>${plural(line.stack.length, "line")} of its stack</summary><pre tabindex="0">${line.stack.join("\n")}</pre></details>`}
    </li>`;
}

const textOf = (line) => [line.message, ...Object.values(line.about), ...Object.values(line.more), ...line.stack].join("\n").toLowerCase();
