// Chromium, page by page. Each line of standard input is a visit, in JSON:
//   url     is opened in a profile of its own
//   served  HTML that is taken for the url's answer, whoever the url belongs to
//   script  runs in the page: the body of an async function
//   leads   whether the script leads to another page, which is waited for
//   beside  the visitor (below) in whose profile it is opened; a profile of its own by default
// or, with the name of a function in console.mjs as `scenario`, a part of a longer visit:
//   visitor whose page it is: a profile of its own, which stays open
//   url     is opened first, if there is one
//   screen  viewport and colorScheme, for a new visitor
//   given   what the function gets
// or `leave`: all visitors close their pages, and their names are those of new ones.
// Its answer has what the function returns as value, and what the page has logged as an error.
// Each is answered with a line: the status, url and text of the page at the end, null where a download or an error took
// its place, and the value of the script.
import chromium from "@sparticuz/chromium";
import { chromium as playwright } from "playwright-core";
import { createInterface } from "node:readline";

const args = [
  "--headless=shell", "--no-sandbox",
  // Names that lead to this machine, as whoever owns a domain can make them do.
  "--host-resolver-rules=MAP *.example 127.0.0.1",
  // This browser asks people before a page of the internet reaches this machine; others do not.
  "--disable-features=LocalNetworkAccessChecks",
];
// Not chromium.args: these turn the browser's web security off.
const browser = await playwright.launch({ args, executablePath: await chromium.executablePath() });

const pages = new Map();

async function visited({ url, served, script = "", leads = false, beside = null }) {
  const context = beside ? pages.get(beside).page.context() : await browser.newContext();
  const page = await context.newPage();
  if (served) await page.route(url, (route) => route.fulfill({ body: served, contentType: "text/html" }));
  let answer = await page.goto(url);
  let value = null;
  if (leads) {
    const arrived = page.waitForNavigation().catch(() => null);
    await page.evaluate(script);
    answer = await arrived;
  } else {
    value = await page.evaluate(`(async () => { ${script} })()`);
  }
  const text = answer && (await page.textContent("body"));
  await (beside ? page : context).close();
  return { status: answer?.status() ?? null, url: page.url(), text, value };
}

async function played({ scenario, visitor, url, screen = {}, given = {} }) {
  if (!pages.has(visitor)) {
    // Without a locale in its environment, this browser's language is none that Intl knows.
    const page = await (await browser.newContext({ locale: "en-GB", ...screen })).newPage();
    const errors = [];
    page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
    page.on("pageerror", (error) => errors.push(String(error)));
    page.setDefaultTimeout(20_000);
    pages.set(visitor, { page, errors });
  }
  const { page, errors } = pages.get(visitor);
  const { [scenario]: play } = await import("./console.mjs");
  try {
    if (url) await page.goto(url);
    return { value: await play(page, given), errors: errors.splice(0) };
  } catch (error) {
    return { failed: String(error), text: await page.locator("body").innerText(), errors: errors.splice(0) };
  }
}

async function left() {
  for (const { page } of pages.values()) await page.context().close();
  pages.clear();
  return {};
}

for await (const line of createInterface({ input: process.stdin })) {
  const wanted = JSON.parse(line);
  console.log(JSON.stringify(await (wanted.leave ? left() : wanted.scenario ? played(wanted) : visited(wanted))));
}
await browser.close();
