// What a person does on the pages Functions, Lake, Checks and Expectations.
import { overflows, seriousProblems } from "./looks.mjs";

const go = (page, name) => page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name, exact: true }).click();
const all = async (page) => ({
  text: await page.locator("main").innerText(), problems: await seriousProblems(page), overflows: await overflows(page),
});

export async function expectations(page, { text }) {
  await go(page, "Expectations");
  return expected(page, { text });
}

export async function expected(page, { text }) {
  await page.locator("main").getByText(text).first().waitFor();
  return { ...(await all(page)), lines: await page.locator("tbody tr").allInnerTexts() };
}

export async function visited(page, { text }) {
  await page.getByRole("link", { name: text }).first().waitFor();
  return {};
}

const lines = (page) => page.locator(".log").innerText();

// From the list of functions to the log of one of them.
export async function logOf(page, { name, text }) {
  await go(page, "Functions");
  await page.locator("tbody").getByRole("link", { name, exact: true }).click();
  await page.locator(".log-line").getByText(text).first().waitFor();
  await page.locator(".chart canvas").first().waitFor();
  await page.locator(".metrics .chart").first().waitFor();
  return { ...(await all(page)), lines: await lines(page), charts: await page.locator(".chart figcaption strong").allInnerTexts() };
}

// A line comes by itself.
export async function logLine(page, { text }) {
  await page.locator(".log-line").getByText(text).waitFor();
  return { lines: await lines(page) };
}

export async function logFiltered(page, { level, text, left }) {
  await page.locator("select[name=level]").selectOption(level);
  await page.locator("input[name=log-text]").fill(text);
  await page.getByRole("status").filter({ hasText: `${left} shown` }).waitFor();
  return { lines: await lines(page) };
}

// The table of a chart, once its first column of values comes to a sum.
export async function chartAsTable(page, { title, sum }) {
  const chart = page.locator(".chart").filter({ hasText: title }).first();
  await chart.locator("summary").focus();
  await page.keyboard.press("Enter");
  for (const until = Date.now() + 20_000; ; await page.waitForTimeout(100)) {
    const rows = (await chart.locator("tbody tr").allInnerTexts()).map((row) => row.split("\t"));
    if (rows.reduce((total, [, value]) => total + Number(value), 0) === sum) return { rows };
    if (Date.now() > until) throw new Error(JSON.stringify(rows));
  }
}

export async function followed(page, { link, text }) {
  await page.getByRole("link", { name: link }).first().click();
  await page.locator(".steps").getByText(text).first().waitFor();
  return { address: page.url() };
}

export async function lake(page, { text }) {
  await go(page, "Lake");
  await page.locator("tbody tr").filter({ hasText: text }).waitFor();
  return all(page);
}

// From an hour to an object to an event in it, and back.
export async function lakeObject(page, { object, event }) {
  await page.locator("tbody th a").first().click();
  await page.getByRole("link", { name: object, exact: true }).click();
  const record = page.locator(".records > li").filter({ hasText: event }).first();
  await record.getByText("JSON").click();
  await record.locator(".json").first().waitFor();
  const seen = { text: await record.innerText(), problems: await seriousProblems(page) };
  await page.keyboard.press("Escape");
  await page.getByRole("link", { name: object, exact: true }).waitFor();
  await page.getByRole("button", { name: "Close" }).click();
  await page.locator(".event").waitFor({ state: "detached" });
  return seen;
}

// What would be replayed, found without a mouse.
export async function replayPlan(page, { target, type, rate }) {
  await page.getByRole("button", { name: "Replay …" }).first().focus();
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog");
  await dialog.locator("select[name=target] option").nth(1).waitFor({ state: "attached" });
  await dialog.locator("select[name=target]").selectOption(target);
  await dialog.getByLabel(type).check();
  await dialog.locator("input[name=rate]").fill(rate);
  await dialog.getByRole("button", { name: "Show what would be sent" }).focus();
  await page.keyboard.press("Enter");
  await dialog.getByRole("heading", { name: "would be sent" }).waitFor();
  return { text: await dialog.innerText(), plan: await dialog.locator(".ids").innerText(), problems: await seriousProblems(page) };
}

// Begun, and stopped once something was sent.
export async function replayStopped(page, { button }) {
  await page.getByRole("dialog").getByRole("button", { name: button }).click();
  await page.getByRole("dialog").waitFor({ state: "detached" });
  const job = page.locator(".job");
  for (const until = Date.now() + 20_000; ; await page.waitForTimeout(50)) {
    if (Number(await job.locator("progress").getAttribute("value")) > 0) break;
    if (Date.now() > until) throw new Error(await job.innerText());
  }
  await job.getByRole("button", { name: "Stop" }).click();
  await job.getByRole("button", { name: "Go on …" }).waitFor();
  return { text: await job.innerText() };
}

export async function replayGoesOn(page, { done }) {
  await page.locator(".job").getByRole("button", { name: "Go on …" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.locator("select[name=target] option").nth(1).waitFor({ state: "attached" });
  await dialog.locator("input[name=rate]").fill("");
  await dialog.getByRole("button", { name: "Show what would be sent" }).click();
  await dialog.getByText("An earlier run has sent").waitFor();
  await dialog.getByRole("button", { name: /^Replay \d+ events to/ }).click();
  await page.locator(".job").getByText(done).waitFor();
  return all(page);
}

// A job that checks, and what it found.
export async function checks(page, { button }) {
  await go(page, "Checks");
  await page.getByText("Not checked yet").waitFor();
  await page.getByRole("button", { name: button }).focus();
  await page.keyboard.press("Enter");
  await page.locator(".job-done").waitFor({ timeout: 60_000 });
  await page.locator(".findings li").first().waitFor();
  return { ...(await all(page)), sizes: await page.getByRole("region", { name: "Sizes of functions" }).innerText() };
}

export async function checkRule(page) {
  await page.locator(".findings a").first().click();
  await page.locator(".event .facts").waitFor();
  return { text: await page.locator(".event").innerText(), problems: await seriousProblems(page) };
}
