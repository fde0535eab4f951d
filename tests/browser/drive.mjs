// Chromium, page by page. Each line of standard input is a visit, in JSON:
//   url     is opened in a profile of its own
//   served  HTML that is taken for the url's answer, whoever the url belongs to
//   script  runs in the page: the body of an async function
//   leads   whether the script leads to another page, which is waited for
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

async function visited({ url, served, script = "", leads = false }) {
  const context = await browser.newContext();
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
  await context.close();
  return { status: answer?.status() ?? null, url: page.url(), text, value };
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await visited(JSON.parse(line))));
}
await browser.close();
