// How a page looks: what is wrong with it for people who see, hear or use it in another way.
import { readFile } from "node:fs/promises";

const AXE = await readFile(new URL("node_modules/axe-core/axe.min.js", import.meta.url), "utf8");

// What axe finds that is serious or critical.
export async function seriousProblems(page) {
  if (!(await page.evaluate("'axe' in window"))) await page.evaluate(AXE);
  const { violations } = await page.evaluate("axe.run({ resultTypes: ['violations'] })");
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.target.join(" ")).slice(0, 3).join("; ")}`);
}

// Whether the page is wider than the screen.
export const overflows = (page) => page.evaluate("document.documentElement.scrollWidth > innerWidth");
