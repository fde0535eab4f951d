// Unpacks the browser, to where each start looks for it first.
import chromium from "@sparticuz/chromium";

await chromium.executablePath();
