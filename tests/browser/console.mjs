// What a person does in the console. Each scenario gets the page, already opened, and what the test knows; what it
// returns is compared in Python.
import { overflows, seriousProblems } from "./looks.mjs";

export * from "./deployed.mjs";
export * from "./more_pages.mjs";

const rows = (page) => page.locator(".list-body [role=row]");
const says = (page, text) => page.getByRole("status").filter({ hasText: text }).waitFor();

// Without a mouse; the map is what comes first.
async function toEvents(page) {
  await page.getByRole("link", { name: "Events", exact: true }).press("Enter");
}

export async function firstView(page) {
  await toEvents(page);
  await rows(page).first().waitFor();
  return { address: page.url(), first: await rows(page).first().innerText(), problems: await seriousProblems(page) };
}

// From the navigation until rows are painted; the token is kept from a visit before.
export async function firstRows(page, { url }) {
  await page.goto(url);
  await page.goto("about:blank");
  await page.addInitScript(`(function look() {
    if (!document.querySelector(".list-body [role=row]")) requestAnimationFrame(look);
    else requestAnimationFrame(() => requestAnimationFrame(() => { window.firstRows = performance.now(); }));
  })()`);
  await page.goto(new URL("/#/events", url).href);
  return { ms: await page.evaluate(`new Promise((resolve) => (function look() {
    if (window.firstRows) resolve(window.firstRows);
    else requestAnimationFrame(look);
  })())`) };
}

export async function isLive(page) {
  await page.locator(".live-live").waitFor();
  return { token: await page.evaluate("localStorage.getItem('console-token')") };
}

export async function watches(page, { title }) {
  await page.getByRole("link", { name: title, exact: true }).press("Enter");
  await page.locator(".live-live").waitFor();
  return {};
}

// What a page asks in some seconds, and when (in ms).
export async function asks(page, { seconds }) {
  const asked = [], began = performance.now();
  const note = (request) => {
    const { pathname, search } = new URL(request.url());
    asked.push([performance.now() - began, pathname + search]);
  };
  page.on("request", note);
  await page.waitForTimeout(seconds * 1000); // what it asks meanwhile is noted
  page.off("request", note);
  return { asked };
}

const hidden = (is) => `(() => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => ${is} });
  document.dispatchEvent(new Event("visibilitychange"));
})()`;
const hide = hidden(true), showAgain = hidden(false);

// As if another tab were before this one, or it were in front again; until it is told nothing, or told again.
export async function isHidden(page, { is }) {
  await page.evaluate(is ? hide : showAgain);
  await page.locator(is ? ".live-connecting" : ".live-live").waitFor();
  return {};
}

const soon = async (page, condition) => {
  for (const until = Date.now() + 20_000; !condition(); await page.waitForTimeout(50)) {
    if (Date.now() > until) throw new Error(`waited in vain for ${condition}; asked: ${page.asked}; answered: ${page.answered}`);
  }
};

// A page whose requests are known, once it has got what it needs.
export async function opens(page, { url, place, needs }) {
  if (!page.asked) {
    Object.assign(page, { asked: [], answered: [] });
    for (const [event, list] of Object.entries({ request: page.asked, requestfinished: page.answered })) {
      page.on(event, (request) => list.push(new URL(request.url()).pathname));
    }
    await page.clock.install();
  }
  await page.goto(url);
  page.answered.length = 0;
  await page.goto(new URL(`/#/${place}`, url).href);
  await page.locator(".live-live").waitFor();
  await soon(page, () => needs.every((each) => page.answered.includes(each)));
  return {};
}

// Nothing is drawn, and no timer ends, before the server has told that the page is connected.
export async function drawsLate(page, { url }) {
  await page.clock.install();
  await page.clock.pauseAt(Date.now() + 1000);
  const told = page.waitForResponse((response) => new URL(response.url()).pathname === "/api/arrivals");
  await page.goto(url);
  await told;
  await page.evaluate(`fetch("/")`); // what was told before has come when this is answered
  await page.clock.resume();
  await page.locator(".live-live").waitFor();
  return {};
}

export async function goesBehind(page) {
  await isHidden(page, { is: true });
  page.asked.length = 0;
  return {};
}

// What it has asked there within a minute; seen again, it asks what it shows.
export async function comesToFront(page, { needs }) {
  await page.clock.fastForward(60_000);
  await page.evaluate(`fetch("/")`); // what the page asked before is known when this is
  const behind = page.asked.splice(0);
  await isHidden(page, { is: false });
  await soon(page, () => page.asked.includes(needs[0]));
  return { behind: behind.filter((each) => each !== "/") };
}

export async function leaves(page) {
  await page.close();
  return {};
}

// Frames while the list moves by some pixels in each of them, down and up, or is left alone.
export async function frames(page, { seconds, step }) {
  return page.evaluate(`(async () => {
    const list = document.querySelector(".list"), times = [];
    let last = performance.now(), down = ${step};
    const until = last + ${seconds * 1000};
    while (last < until) {
      const before = list.scrollTop;
      list.scrollTop += down;
      if (list.scrollTop === before) down = -down;
      await new Promise(requestAnimationFrame);
      const now = performance.now();
      times.push(now - last);
      last = now;
    }
    const long = times.filter((ms) => ms > 50).length;
    return { longest_ms: Math.max(...times), long_share: long / times.length * 100, per_s: times.length / ${seconds} };
  })()`);
}

// As far down as one comes in some seconds: the requests for older events, and the longest frame.
export async function scrolledFar(page, { seconds }) {
  return page.evaluate(`(async () => {
    performance.setResourceTimingBufferSize(10_000);
    const list = document.querySelector(".list");
    let longest = 0, last = performance.now();
    const until = last + ${seconds * 1000};
    while (last < until) {
      list.scrollTop += 4000;
      await new Promise(requestAnimationFrame);
      const now = performance.now();
      [longest, last] = [Math.max(longest, now - last), now];
    }
    const asked = performance.getEntriesByType("resource").filter(({ name }) => name.includes("before=")).length;
    return { longest_ms: longest, asked, rows: Number(list.getAttribute("aria-rowcount")) - 1 };
  })()`);
}

export async function search(page, { field, value, found }) {
  await page.locator(`input[name=${field}]`).fill(value);
  await says(page, found);
  return { rows: await rows(page).allInnerTexts(), address: page.url() };
}

export async function opened(page, { text }) {
  await rows(page).filter({ hasText: text }).first().click();
  await page.locator(".event .facts").waitFor();
  return { text: await page.locator(".event").innerText(), problems: await seriousProblems(page), overflows: await overflows(page) };
}

// A row comes in by itself.
export async function arrives(page, { text }) {
  await rows(page).filter({ hasText: text }).first().waitFor();
  return { first: await rows(page).first().innerText() };
}

// From the top of the page to an event and back, without a mouse.
export async function byKeyboard(page, { downs }) {
  await toEvents(page);
  await rows(page).first().waitFor();
  for (let tabs = 0; tabs < 20; tabs++) {
    if (await page.evaluate("document.activeElement.matches('.list-body [role=row]')")) break;
    await page.keyboard.press("Tab");
  }
  for (let each = 0; each < downs; each++) {
    const before = await page.locator(":focus").getAttribute("aria-rowindex");
    await page.keyboard.press("ArrowDown");
    await page.locator(`:focus[aria-rowindex="${Number(before) + 1}"]`).waitFor();
  }
  const chosen = await page.locator(":focus").innerText();
  await page.keyboard.press("Enter");
  await page.locator(".event .facts").waitFor();
  const facts = await page.locator(".event .facts").innerText();
  await page.keyboard.press("Escape");
  await page.locator(".event").waitFor({ state: "detached" });
  await page.locator(".list-body [role=row]:focus").waitFor();
  return { chosen, facts, back: await page.locator(":focus").innerText() };
}

// Through thousands of rows: how many exist at once, and the longest frame on the way.
export async function scrolled(page, { until }) {
  await rows(page).first().waitFor();
  const walked = await page.evaluate(`(async () => {
    const list = document.querySelector(".list");
    let longest = 0, most = 0, last = performance.now();
    const until = last + 20_000;
    const frame = () => new Promise(requestAnimationFrame);
    while (list.querySelector(".list-body").offsetHeight < ${until} * list.querySelector(".list-body [role=row]").offsetHeight) {
      if (last > until) throw new Error(list.getAttribute("aria-rowcount") + " rows after 20 s");
      list.scrollTop += 4000;
      await frame();
      const now = performance.now();
      [longest, last] = [Math.max(longest, now - last), now];
      most = Math.max(most, list.querySelectorAll(".list-body [role=row]").length);
    }
    return { longest, most };
  })()`);
  return { ...walked, count: Number(await page.locator(".list").getAttribute("aria-rowcount")) };
}

export async function shards(page, { text }) {
  await page.getByRole("link", { name: "Shards", exact: true }).click();
  await page.locator(".card").filter({ hasText: text }).first().waitFor();
  return { text: await page.locator("main").innerText(), problems: await seriousProblems(page), overflows: await overflows(page) };
}

export async function traced(page, { asked, text }) {
  await page.getByRole("link", { name: "Trace", exact: true }).click();
  await page.locator("input[name=asked]").fill(asked);
  await page.keyboard.press("Enter");
  return seenInTrace(page, { text });
}

export async function seenInTrace(page, { text }) {
  await page.locator(".steps").getByText(text).first().waitFor();
  const names = await page.locator(".picture .node-name").allTextContents();
  return { text: await page.locator("main").innerText(), names, problems: await seriousProblems(page), overflows: await overflows(page) };
}

export async function fault(page, { error, id }) {
  await page.getByRole("link", { name: "Faults", exact: true }).click();
  await page.locator(".card").filter({ hasText: error }).waitFor();
  const groups = await page.locator(".faults").innerText();
  await page.getByRole("link", { name: id, exact: true }).click();
  await page.locator(".event .facts").waitFor();
  await page.getByText("The whole text").click();
  await page.getByText("The command that resubmits it").click();
  return { groups, text: await page.locator(".event").innerText(), problems: await seriousProblems(page), overflows: await overflows(page) };
}

// A fault with the source of its function.
export async function sourceOfFault(page, { id }) {
  await page.getByRole("link", { name: "Faults", exact: true }).click();
  await page.getByRole("link", { name: id, exact: true }).click();
  await page.locator(".event .source").first().waitFor();
  return { text: await page.locator(".event").innerText(), problems: await seriousProblems(page), overflows: await overflows(page) };
}

// What would be done is read, and confirmed; then the job ends, and the list says what became of the faults.
export async function resubmit(page, { button, confirm, done, typed, picture, within = "main", include, became }) {
  await page.locator(within === "main" ? within : `.${within}`).getByRole("button", { name: button }).first().click();
  const dialog = page.getByRole("dialog");
  if (include) await dialog.getByLabel(include).check();
  await dialog.getByRole("button", { name: confirm }).waitFor();
  const plan = await dialog.innerText();
  const problems = await seriousProblems(page);
  if (picture) await page.screenshot({ path: picture });
  if (typed) await dialog.getByRole("textbox").fill(typed);
  await dialog.getByRole("button", { name: confirm }).click();
  await dialog.waitFor({ state: "detached" });
  const job = page.locator(".job-done");
  await job.getByText(done).waitFor();
  await (became ? page.locator(".ids .warns").filter({ hasText: became }) : page.locator(".good")).first().waitFor();
  return { plan, problems, done: await job.innerText(), list: await page.locator(".faults").innerText(), overflows: await overflows(page) };
}

// The rows of a table.
export async function items(page, { table }) {
  await page.getByRole("link", { name: "Items", exact: true }).click();
  await page.getByRole("link", { name: table, exact: true }).click();
  await rows(page).first().waitFor();
  return { text: await page.locator("main").innerText(), problems: await seriousProblems(page), overflows: await overflows(page) };
}

// A row, found by its partition key, with its history.
export async function rowOf(page, { partition, text }) {
  await page.locator("input[name=partition]").fill(partition);
  await page.keyboard.press("Enter");
  await rows(page).filter({ hasText: partition }).first().click();
  await page.locator(".event .change").filter({ hasText: text }).first().waitFor();
  return {
    text: await page.locator(".event").innerText(), address: page.url(), problems: await seriousProblems(page),
    overflows: await overflows(page),
  };
}

export async function functions(page, { name }) {
  await page.getByRole("link", { name: "Functions", exact: true }).click();
  const row = page.locator("tbody tr").filter({ hasText: name });
  await row.waitFor();
  const figures = await row.innerText();
  await row.getByRole("link").click();
  await page.locator(".event .failures").first().waitFor();
  return { figures, text: await page.locator(".event").innerText(), problems: await seriousProblems(page), overflows: await overflows(page) };
}

export async function shown(page, { text }) {
  await page.getByText(text).first().waitFor();
  return { text: await page.locator("body").innerText() };
}

export async function gone(page, { text }) {
  await page.getByText(text).first().waitFor({ state: "detached" });
  return {};
}

// A picture of an address, after links are followed: by their words, or the first row or id of a list. It shows this.
export async function pictured(page, { steps: [address, ...links], shows, path }) {
  await page.evaluate(`location.hash = ${JSON.stringify(address)}`);
  for (const words of links) {
    if (words === "first event") await rows(page).first().click();
    else if (words === "first fault") await page.locator(".ids a").first().click();
    else await page.getByRole("link", { name: words }).first().click();
  }
  await page.locator(shows).first().waitFor();
  await page.mouse.move(0, 0);
  await page.screenshot({ path, animations: "disabled", caret: "hide" });
  return {};
}

const mapNodes = (page) => page.locator(".map-node");
const mapLink = (page, name) => page.locator(`.map-picture a[aria-label^="${name}"]`).first();
const labels = (page) => page.locator(".map-picture a").evaluateAll((links) => links.map((link) => link.getAttribute("aria-label")));
const placesOf = (page) => mapNodes(page).evaluateAll((nodes) => nodes.map((node) => node.getAttribute("transform")));

export async function mapView(page) {
  await mapNodes(page).first().waitFor();
  const names = await page.locator(".map-name").allTextContents();
  return { names, places: await placesOf(page), problems: await seriousProblems(page) };
}

// Figures come to an arrow and to a node.
export async function mapPasses(page, { arrow, node }) {
  await page.locator(`.map-picture a[aria-label^="${arrow}: "]`).waitFor();
  await page.locator(`.map-picture .map-node.troubled a[aria-label^="${node}"]`).waitFor();
  await page.locator(".map-troubles").waitFor();
  return {
    arrow: await mapLink(page, arrow).getAttribute("aria-label"), node: await page.locator(`.map-node a[aria-label^="${node}"]`).getAttribute("aria-label"),
    bar: await page.locator(".map-bar").innerText(), places: await placesOf(page), labels: await labels(page),
    problems: await seriousProblems(page),
  };
}

// To the page of a node, with the mouse or without, and back.
export async function mapLeads(page, { name, pressed }) {
  if (pressed) await mapLink(page, name).press("Enter");
  else await mapLink(page, name).click();
  await page.waitForURL((url) => !/#\/(map)?$/.test(url.hash));
  const address = page.url();
  await page.goBack();
  await mapNodes(page).first().waitFor();
  return { address };
}

// A stack that was deployed meanwhile comes by itself.
export async function mapOf(page, { group }) {
  await page.locator(".map-table, .map-group").filter({ hasText: group }).first().waitFor({ timeout: 60_000 });
  return {};
}

export async function mapTables(page) {
  await page.locator(".map-table").first().waitFor();
  return { text: await page.locator("main").innerText(), problems: await seriousProblems(page), overflows: await overflows(page) };
}

// What has no page is told beside the map.
export async function mapPanel(page, { name, text }) {
  await page.getByRole("link", { name: "Tables", exact: true }).click();
  await page.locator(".map-table").getByRole("link", { name, exact: true }).first().click();
  const panel = page.locator(`section[aria-label="About ${name}"]`);
  await panel.filter({ hasText: text }).waitFor();
  await page.locator(".map-table").first().waitFor(); // it is still the tables
  const seen = { text: await panel.innerText(), problems: await seriousProblems(page), overflows: await overflows(page) };
  await page.keyboard.press("Escape");
  await panel.waitFor({ state: "detached" });
  return seen;
}

export async function mapAsPicture(page) {
  await page.getByRole("link", { name: "Picture", exact: true }).click();
  await mapNodes(page).first().waitFor();
  return { problems: await seriousProblems(page), overflows: await overflows(page) };
}

// Every page, and every event of a list with what came of it: what they say, and whether anything in them has run.
export async function looksAtAll(page, { query, pages }) {
  const dialogs = [], texts = {};
  page.on("dialog", (dialog) => { dialogs.push(dialog.message()); dialog.dismiss(); });
  const settled = () => page.locator("main").getByRole("status").getByText(/^(Loading|Looking|Searching)$/).waitFor({ state: "detached" });
  await page.evaluate(`location.hash = ${JSON.stringify(query)}`);
  await page.locator("input[name=source]").and(page.locator("[value='']")).waitFor({ state: "detached" });
  await settled();
  const count = await rows(page).count();
  await page.evaluate("location.hash = `#/constructor`");
  await page.locator("h1").getByText("Map", { exact: true }).waitFor({ state: "attached" });
  await page.goBack();
  await settled();
  texts.list = await page.locator(".events").innerText();
  for (let each = 0; each < count; each++) {
    await rows(page).nth(each).click();
    await page.locator(".event .facts").waitFor();
    texts[`event ${each}`] = await page.locator(".event").innerText();
    await page.getByRole("link", { name: "What came of it" }).click();
    await page.locator(".steps, .card").first().waitFor();
    texts[`trace ${each}`] = await page.locator("main").innerText();
    await page.goBack();
    await page.locator(".event .facts").waitFor();
  }
  for (const name of pages) {
    await page.getByRole("navigation").getByRole("link", { name, exact: true }).click();
    await page.locator("h1").getByText(name, { exact: true }).waitFor();
    await settled();
    texts[name] = await page.locator("main").innerText();
    for (const link of await page.locator("main").getByRole("link").all()) {
      if (!(await link.isVisible())) continue;
      await link.click();
      await settled();
      texts[name] += await page.locator("main").innerText();
      await page.getByRole("navigation").getByRole("link", { name, exact: true }).click();
      await settled();
    }
  }
  return { count, texts, dialogs, ran: await page.evaluate("window.ran ?? null"), title: await page.title() };
}

// What the page holds is left, when its garbage is collected.
export async function collected(page) {
  const session = await page.context().newCDPSession(page);
  await session.send("HeapProfiler.collectGarbage");
  await session.detach();
  return {};
}
