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
