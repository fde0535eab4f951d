// What a person does on the pages Functions, Lake, Checks and Expectations.
import { overflows, seriousProblems } from "./looks.mjs";

const all = async (page) => ({
  text: await page.locator("main").innerText(), problems: await seriousProblems(page), overflows: await overflows(page),
});

export async function expectations(page, { text }) {
  await page.getByRole("link", { name: "Expectations" }).click();
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
  await page.getByRole("link", { name: "Functions" }).click();
  await page.getByRole("link", { name }).click();
  await page.locator(".log-line").getByText(text).waitFor();
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
