// The frame of all pages.
import { render } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { takeToken } from "./api.js";
import { Checks } from "./checks.js";
import { Coverage } from "./coverage.js";
import { Events } from "./events.js";
import { Expectations } from "./expectations.js";
import { Faults } from "./faults.js";
import { keepFocus } from "./focus.js";
import { Functions } from "./functions.js";
import { html } from "./html.js";
import { Items } from "./items.js";
import { Lake } from "./lake.js";
import { live, useLiveState, useLoaded } from "./live.js";
import { Map } from "./map.js";
import { Plan } from "./plan.js";
import { link, useRoute } from "./route.js";
import { Shards } from "./shards.js";
import { Trace } from "./trace.js";
import { NotKnown } from "./unknown.js";

const PAGES = {
  map: ["Map", Map], events: ["Events", Events], trace: ["Trace", Trace], shards: ["Shards", Shards], faults: ["Faults", Faults],
  items: ["Items", Items], functions: ["Functions", Functions], lake: ["Lake", Lake], checks: ["Checks", Checks], plan: ["Plan", Plan],
  expectations: ["Expectations", Expectations],
};
const ABOUT_MS = 10_000;
const STATES = { live: "Live", connecting: "Connecting", lost: "Connection lost, trying again" };

function Frame() {
  const route = useRoute();
  const { content: about, error } = useLoaded("about", { everyMs: ABOUT_MS });
  const main = useRef(null);
  const page = Object.hasOwn(PAGES, route.page) ? route.page : "map";
  const [title, Page] = PAGES[page];

  useEffect(() => {
    document.title = `${title} · ${about?.stage ?? "Console"}`;
  }, [title, about]);
  useEffect(() => {
    document.querySelector("nav a[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [page]);

  if (error?.status === 401) return html`<${NoToken} message=${error.message} />`;
  return html`
    <a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); main.current.focus(); }}>Skip to content</a>
    <header>
      <span class="brand"><img src="/icon.svg" alt="" width="24" height="24" /> Console
        ${about && html`<span class="stage" title=${about.place}>${about.stage}</span>`}</span>
      <nav aria-label="Pages">
        ${Object.entries(PAGES).map(([name, [words]]) => html`
          <a key=${name} href=${link(name)} aria-current=${name === page ? "page" : null}>${words}</a>`)}
      </nav>
      <${LiveState} everyS=${about?.every_s} />
    </header>
    <main id="main" tabindex="-1" ref=${main}>
      <h1 class=${page === "events" || page === "map" ? "unseen" : ""}>${title}</h1>
      ${error && (!about || error.status) && html`<p class="problem" role="alert">${error.message}</p>`}
      <${Coverage} coverage=${about?.coverage} />
      <${NotKnown} key=${`${page} ${route.what}`} />
      <${Page} key=${page} route=${route} />
    </main>`;
}

function LiveState({ everyS }) {
  const state = useLiveState();
  const words = state === "live" && everyS ? `Loaded anew every ${everyS} s` : STATES[state];
  return html`<span class=${`live live-${state}`} role="status">${words}</span>`;
}

function NoToken({ message }) {
  return html`<main class="alone"><h1>No token</h1><p>${message}</p><p><code>streamctl console</code></p></main>`;
}

takeToken();
keepFocus();
live.run();
render(html`<${Frame} />`, document.getElementById("app"));
