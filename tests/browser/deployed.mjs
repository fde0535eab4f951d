// What a person does beside a cloud with all services: on all pages, without a mouse, on a phone, with odd words.
import { focusIsSeen, overflows, seriousProblems } from "./looks.mjs";

const MOST_TABS = 120;
const rows = (page) => page.locator(".list-body [role=row]");
const looks = async (page) => ({ problems: await seriousProblems(page), overflows: await overflows(page) });
const to = (page, hash) => page.evaluate(`location.hash = ${JSON.stringify(hash)}`);
const focused = (page) => page.evaluate("(document.activeElement.getAttribute('aria-label') ?? document.activeElement.innerText ?? '').trim()");

// --- a shard ---

// A shard that is tried again and again. The page is never loaded anew.
export async function stuckShard(page, { mapping, reason }) {
  await page.getByRole("link", { name: "Shards", exact: true }).click();
  const card = page.locator(".card-stuck").filter({ hasText: mapping });
  await card.locator(".row-stuck").getByText(reason).waitFor();
  await card.locator("td").filter({ hasText: /attempt [3-9]/ }).waitFor();
  await page.evaluate("window.isTheSame = true");
  return { row: await card.locator(".row-stuck").innerText(), failures: await card.locator(".failures").innerText(), ...(await looks(page)) };
}

export async function freedShard(page, { mapping }) {
  const card = page.locator(".card:not(.card-stuck)").filter({ has: page.getByRole("link", { name: mapping, exact: true }) });
  await card.locator("tr:not(.row-stuck) td").filter({ hasText: /^ok$/ }).waitFor({ timeout: 60_000 });
  await card.locator("td[data-label=Behind]").filter({ hasText: /^0$/ }).waitFor();
  return { row: (await card.locator("tbody tr").innerText()).split("\t"), same: await page.evaluate("window.isTheSame"), ...(await looks(page)) };
}

// --- how pages look ---

const PAGES = {
  map: { "#/map": ".map-node, .map-table" },
  picture: { "#/map?as=picture": ".map-node" },
  events: { "#/events": ".list-body [role=row]" },
  event: { click: ".list-body [role=row]", shows: ".event .json" },
  trace: { click: ".event a.button", shows: ".steps" },
  "no trace": { "#/trace": "main .quiet" },
  shards: { "#/shards": ".card tbody tr" },
  faults: { "#/faults": ".card" },
  fault: { click: ".ids a", shows: ".frames li" },
  resubmission: { click: ".event button:not(.close)", shows: "dialog h3" },
  items: { Escape: true, "#/items": "tbody tr" },
  rows: { click: "tbody a", shows: ".list-body [role=row]" },
  row: { click: ".list-body [role=row]", shows: ".event .json" },
  functions: { "#/functions": "tbody tr" },
  function: { click: "tbody a", shows: ".event .chart canvas" },
  lake: { "#/lake": "tbody tr" },
  hour: { click: "tbody th a", shows: ".objects li" },
  object: { click: ".objects a", shows: ".records li" },
  replay: { "#/lake": "tbody tr", click: ".lake-head button", shows: "dialog option:nth-child(2)" },
  checks: { Escape: true, "#/checks": "table tbody tr" },
  expectations: { "#/expectations": ".card" },
  plan: { "#/plan": ".plan-form" },
  unknown: { "#/items/nothing-like-this": ".problem" },
};

// Every page, and what is opened on it: what is wrong with how it looks, by name.
export async function looksOfAll(page, { pictures }) {
  const wrong = {};
  for (const [name, steps] of Object.entries(PAGES)) {
    for (const [step, place] of Object.entries(steps)) {
      if (step === "Escape") await page.keyboard.press("Escape");
      else if (step === "click") await page.locator(`:is(main, dialog) ${place}`).first().click();
      else if (step !== "shows") await to(page, step);
      if (step !== "Escape" && step !== "click") await page.locator(place).first().waitFor({ state: place.includes("option") ? "attached" : "visible" });
    }
    if (pictures) await page.screenshot({ path: `${pictures}/${name}.png`, animations: "disabled" });
    const found = await looks(page);
    if (found.problems.length || found.overflows) wrong[name] = found;
  }
  return { wrong, names: Object.keys(PAGES) };
}

// --- the keyboard ---

// To what has this name by Tab alone; whatever has the focus on the way is seen to have it.
async function tabTo(page, name) {
  const way = [];
  for (let tabs = 0; tabs < MOST_TABS; tabs++) {
    await page.keyboard.press("Tab");
    const at = await focused(page);
    if (await page.evaluate("document.activeElement === document.body")) continue; // the end of the page
    if (!(await focusIsSeen(page))) throw new Error(`the focus is not seen on ${at || (await page.evaluate("document.activeElement.outerHTML.slice(0, 200)"))}`);
    if (typeof name === "string" ? at === name : name.test(at)) return at;
    way.push(at.slice(0, 30));
  }
  throw new Error(`${name} is not reached by Tab: ${way.join(" | ")}`);
}

async function press(page, name) {
  const at = await tabTo(page, name);
  await page.keyboard.press("Enter");
  return at;
}

async function byLink(page, name) {
  await page.evaluate("document.querySelector('.skip').focus()");
  await press(page, name);
  await page.locator("h1").getByText(name, { exact: true }).waitFor({ state: "attached" });
  await page.locator("main").getByText("Loading", { exact: true }).waitFor({ state: "detached" }); // nothing is there yet to be reached by Tab
}

// What is opened has the focus, and Escape gives it back to what opened it.
async function opened(page, name, shows) {
  await page.locator(shows).first().waitFor();
  await page.locator(".event h2:focus").waitFor();
  if (!(await focusIsSeen(page))) throw new Error(`the focus is not seen on the head of ${name}`);
}

async function closed(page, name) {
  await page.keyboard.press("Escape");
  await page.locator(".event").waitFor({ state: "detached" });
  await page.locator("main :focus").waitFor();
  const back = await focused(page);
  if (back !== name) throw new Error(`the focus is on ${back} and not on ${name}`);
}

// A dialog keeps the focus, and Escape gives it back.
async function dialogKeepsFocus(page) {
  const opener = page.locator(":focus");
  for (let tabs = 0; tabs < 25; tabs++) {
    await page.keyboard.press(tabs < 15 ? "Tab" : "Shift+Tab");
    const inside = await page.evaluate("document.activeElement === document.body || Boolean(document.activeElement.closest('dialog'))");
    if (!inside) throw new Error(`the focus has left the dialog for ${await focused(page)}`);
  }
  return opener;
}

async function dialogClosed(page, name) {
  await page.keyboard.press("Escape");
  await page.locator("dialog").waitFor({ state: "detached" });
  const back = await focused(page);
  if (back !== name) throw new Error(`after the dialog, the focus is on ${back} and not on ${name}`);
}

// From page to page, and through all that can be worked on them.
export async function withoutMouse(page, { fault, table, partition, listener, target }) {
  const done = [];
  await page.evaluate("window.isTheSame = true");

  await byLink(page, "Map");
  await page.locator(".map-node").first().waitFor();
  await page.evaluate("document.querySelector('.skip').focus()");
  await page.keyboard.press("Enter");
  await page.locator("main:focus").waitFor();
  await press(page, "Tables");
  await page.locator(".map-table").first().waitFor();
  await press(page, "Picture");
  await page.locator(".map-node").first().waitFor();
  done.push(await press(page, /^control-service listener|^listener/));
  await page.locator(".event h2:focus").waitFor();

  await byLink(page, "Events");
  await rows(page).first().waitFor();
  await page.locator("input[name=type]").focus();
  await page.keyboard.type("story-ready");
  await rows(page).filter({ hasText: "story-submitted" }).first().waitFor({ state: "detached" });
  for (let tabs = 0; tabs < 20 && !(await page.evaluate("document.activeElement.matches('.list-body [role=row]')")); tabs++) await page.keyboard.press("Tab");
  await page.keyboard.press("ArrowDown");
  await page.locator(":focus[aria-rowindex='3']").waitFor();
  if (!(await focusIsSeen(page))) throw new Error("the focus is not seen on a row");
  const row = await focused(page);
  await page.keyboard.press("Enter");
  await opened(page, "an event", ".event .facts");
  await closed(page, row);
  await page.keyboard.press("Enter");
  await opened(page, "an event", ".event .facts");
  done.push(await press(page, "What came of it"));
  await page.locator(".steps").first().waitFor();
  await page.locator("main :focus, main:focus").first().waitFor();
  await page.locator("input[name=asked]").focus();
  await page.keyboard.press("Control+A");
  await page.keyboard.type(partition);
  await press(page, "Trace");
  await page.locator(".steps").getByText(partition).first().waitFor();
  done.push(await tabTo(page, /^Picture of the steps/));

  await byLink(page, "Shards");
  done.push(await tabTo(page, `Shards of ${listener}`));

  await byLink(page, "Faults");
  await press(page, fault);
  await opened(page, "a fault", ".frames li");
  await closed(page, fault);
  await page.keyboard.press("Enter");
  await opened(page, "a fault", ".frames li");
  done.push(await press(page, "Resubmit …"));
  await page.getByRole("dialog").getByRole("button", { name: /^Resubmit 1 fault to / }).waitFor();
  await dialogKeepsFocus(page);
  await dialogClosed(page, "Resubmit …");
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  done.push(await press(page, "Cancel"));
  await page.locator("dialog").waitFor({ state: "detached" });

  await byLink(page, "Items");
  await press(page, table);
  await rows(page).first().waitFor();
  await page.locator("input[name=partition]").focus();
  await page.keyboard.type(partition);
  await page.keyboard.press("Enter");
  await rows(page).filter({ hasNotText: partition }).first().waitFor({ state: "detached" });
  await rows(page).filter({ hasText: partition }).first().waitFor();
  for (let tabs = 0; tabs < 20 && !(await page.evaluate("document.activeElement.matches('.list-body [role=row]')")); tabs++) await page.keyboard.press("Tab");
  const item = await focused(page);
  await page.keyboard.press("Enter");
  await opened(page, "a row", ".event .change");
  await closed(page, item);
  done.push(item);

  await byLink(page, "Functions");
  await press(page, listener);
  await opened(page, "a function", ".event .log-line");
  await tabTo(page, "Lines of the log, the newest at the end");
  await page.keyboard.press("Shift+Tab");
  await page.keyboard.type("no such line");
  await page.getByText("No line is like this.").waitFor();
  await page.keyboard.press("Control+A");
  await page.keyboard.press("Backspace");
  await page.locator(".log-line").first().waitFor();
  await closed(page, listener);
  done.push(listener);

  await byLink(page, "Lake");
  await page.locator("tbody tr").first().waitFor();
  const hour = await press(page, /^\d\d:00$/);
  await opened(page, "an hour", ".objects li");
  await closed(page, hour);
  await press(page, "Replay …");
  await page.getByRole("dialog").locator("option").nth(1).waitFor({ state: "attached" });
  await dialogKeepsFocus(page);
  await dialogClosed(page, "Replay …");
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog");
  await dialog.locator("option").nth(1).waitFor({ state: "attached" });
  await dialog.locator("select:focus").waitFor();
  await page.keyboard.type(target);
  await page.locator("input[name=rate]").focus();
  await page.keyboard.press("Control+A");
  await page.keyboard.type("0.1");
  await press(page, "Show what would be sent");
  await dialog.locator("h3:focus").waitFor();
  if (!(await focusIsSeen(page))) throw new Error("the focus is not seen on what would be sent");
  done.push(await press(page, /^Replay \d+ events? to function /));
  await page.locator("dialog").waitFor({ state: "detached" });
  await press(page, "Stop");
  await page.getByRole("button", { name: "Go on …" }).waitFor();
  await page.locator("main :focus").waitFor();

  await byLink(page, "Checks");
  done.push(await tabTo(page, /^Check \d+ services?$/));
  done.push(await tabTo(page, "Sizes of functions"));
  await byLink(page, "Expectations");
  await page.locator("main .card").waitFor();
  return { done, same: await page.evaluate("window.isTheSame") };
}

// A row of the list has the focus while others come in above it.
export async function focusOnRow(page) {
  await to(page, "#/events");
  await rows(page).nth(3).waitFor();
  await rows(page).nth(3).focus();
  return { row: await focused(page), index: Number(await page.locator(":focus").getAttribute("aria-rowindex")) };
}

export async function stillOnRow(page, { after, row }) {
  for (const until = Date.now() + 20_000; Number(await page.locator(":focus").getAttribute("aria-rowindex")) < after; await page.waitForTimeout(100)) {
    if (Date.now() > until) throw new Error(await page.locator(":focus").innerText());
  }
  if ((await focused(page)) !== row) throw new Error(`the focus is on ${await focused(page)}`);
  const before = Number(await page.locator(":focus").getAttribute("aria-rowindex"));
  await page.keyboard.press("ArrowDown");
  await page.locator(`:focus[aria-rowindex="${before + 1}"]`).waitFor();
  return { index: before };
}

// --- what is written ---

// From what a resubmission has done to the trace of the event.
export async function traceOfResubmitted(page, { text }) {
  await page.locator(".job-done .ids a").first().click();
  await page.locator(".steps").getByText(text).first().waitFor();
  return { text: await page.locator("main").innerText(), names: await page.locator(".picture .node-name").allTextContents(), ...(await looks(page)) };
}

// At a production stage: with another name, or none, nothing can be confirmed.
export async function needsTheName(page, { address, button, show, confirm, choose, name }) {
  await to(page, address);
  await page.getByRole("button", { name: button }).first().click();
  const dialog = page.getByRole("dialog");
  if (choose) {
    await dialog.locator("option").nth(1).waitFor({ state: "attached" });
    await dialog.locator("select[name=target]").selectOption(choose);
    await dialog.getByRole("button", { name: show }).click();
  }
  const act = dialog.getByRole("button", { name: confirm });
  await act.waitFor({ timeout: 60_000 }); // the whole lake is read
  const before = await act.isDisabled();
  const typed = dialog.getByRole("textbox").last();
  await typed.fill(`${name}x`);
  const wrong = await act.isDisabled();
  await typed.press("Enter");
  await typed.fill(name);
  await act.and(page.locator(":enabled")).waitFor();
  const text = await dialog.innerText();
  const found = await looks(page);
  await typed.fill(name.toUpperCase());
  const other = await act.isDisabled();
  await typed.fill(name);
  return { disabled: [before, wrong, other], text, ...found };
}

// Whoever asks the server past the page, with the wrong name.
export async function asksPastThePage(page, { kind, path, typed }) {
  return page.evaluate(`(async () => {
    const headers = { "x-console-token": localStorage.getItem("console-token"), "content-type": "application/json" };
    const plan = await (await fetch(${JSON.stringify(path)}, { headers })).json();
    const body = JSON.stringify({ ...plan.asked, plan: plan.plan, typed: ${JSON.stringify(typed)} });
    const answer = await fetch(${JSON.stringify(`/api/jobs/${kind}`)}, { method: "POST", headers, body });
    return { status: answer.status, error: (await answer.json()).error };
  })()`);
}

export async function confirmed(page, { confirm, done }) {
  await page.getByRole("dialog").getByRole("button", { name: confirm }).click();
  await page.locator(".job-done").getByText(done).waitFor();
  return { text: await page.locator(".job-done").innerText() };
}

// --- odd words ---

// Words in every field that searches: what pages say of them that is an error, and whether one takes long.
export async function searchesFor(page, { words, table, listener, most_ms }) {
  const said = {};
  const fields = {
    ...Object.fromEntries(["text", "type", "key", "id", "source"].map((name) => [`#/events?${name}=`, [name]])),
    "#/trace": ["asked"], [`#/items/${table}`]: ["partition", "sort"], [`#/functions/${listener}`]: ["log-text"],
  };
  for (const [address, names] of Object.entries(fields)) {
    await to(page, address);
    for (const [which, word] of Object.entries(words)) {
      const began = Date.now();
      for (const name of names) {
        await page.locator(`input[name=${name}]`).evaluate(`(field, word) => {
          Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set.call(field, word);
          field.dispatchEvent(new Event("input", { bubbles: true }));
        }`, word);
      }
      await page.locator(`input[name=${names[0]}]`).press("Enter");
      await page.waitForTimeout(350); // the page asks when nobody has typed for a while
      await page.locator("main").getByText(/^(Loading|Looking|Searching|Reading)$/).first().waitFor({ state: "detached" });
      const problems = await page.locator("main .problem:is([role=alert], .list-state *)").allInnerTexts();
      if (problems.length) said[`${address} ${which}`] = problems;
      if (Date.now() - began > most_ms) said[`${address} ${which} took`] = Date.now() - began;
    }
  }
  return { said };
}
