// How a page looks: what is wrong with it for people who see, hear or use it in another way.
import { readFile } from "node:fs/promises";

const AXE = await readFile(new URL("node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
// axe leaves the size of what is touched out, unless it is told.
const OPTIONS = "{ resultTypes: ['violations'], rules: { 'target-size': { enabled: true } } }";

// What axe finds that is serious or critical.
export async function seriousProblems(page) {
  if (!(await page.evaluate("'axe' in window"))) await page.evaluate(AXE);
  const { violations } = await page.evaluate(`axe.run(${OPTIONS})`);
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.target.join(" ")).slice(0, 3).join("; ")}`);
}

// Whether the page, or a part of it that should only scroll down, is wider than its place on the screen; or whether the
// page can be scrolled down beyond its main part, which scrolls by itself.
export const overflows = (page) => page.evaluate(`["html", "main", "main > *", ".events", ".event", ".card:not(.wide)", "dialog"].some((places) =>
  [...document.querySelectorAll(places)].some((each) => getComputedStyle(each).overflowX !== "visible" && each.clientWidth > 1
    && !each.matches(".map-scroll") && each.scrollWidth > each.clientWidth || each.getBoundingClientRect().right > innerWidth + 1))
  || document.documentElement.scrollHeight > innerHeight + 1`);

// Whether what has the focus is seen to have it: by an outline, or in the map by its line.
export const focusIsSeen = (page) => page.evaluate(`(() => {
  const { activeElement: it } = document, drawn = it.querySelector(":scope > :is(.map-focus, .map-line)");
  if (drawn) return getComputedStyle(drawn).stroke !== "none" && parseFloat(getComputedStyle(drawn).strokeWidth) >= 2;
  const { outlineStyle, outlineWidth } = getComputedStyle(it), { width, height } = it.getBoundingClientRect();
  return it !== document.body && width > 0 && height > 0 && outlineStyle !== "none" && parseFloat(outlineWidth) >= 1;
})()`);
