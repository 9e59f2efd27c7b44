// Uses the page of docs/guide/example-page.html in Chromium as a person does: connects, lists runs, starts one, follows it,
// answers its approval and its question, and reads its log. Prints what it saw, as JSON.
import { createRequire } from "node:module";

const [modules, chromium, page_url, node, token, dag] = process.argv.slice(2);
const playwright = createRequire(`${modules}/`)("playwright-core");
const browser = await playwright.chromium.launch({
  executablePath: chromium,
  // The node's certificate is its own; and a root user has no sandbox.
  args: ["--no-sandbox", "--ignore-certificate-errors"],
});
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(60_000);
  const errors = [];
  page.on("pageerror", (error) => errors.push(error.message));
  await page.goto(page_url);
  await page.getByLabel("Node").fill(node);
  await page.getByLabel("Token").fill(token);
  await page.getByRole("button", { name: "Connect" }).click();
  const text = (id) => page.locator(`#${id}`).innerText();
  await page.locator("#me:not(:empty), #problem:not(:empty)").first().waitFor();
  const me = await text("me");
  const refused = await text("problem");
  if (!me) {
    console.log(JSON.stringify({ me, refused, errors }));
  } else {
    // The page says who it is before it has the runs.
    await page.locator("#runs li").first().waitFor();
    const before = await page.locator("#runs li").count();
    await page.getByLabel("DAG file").fill("[dag]\nid = 1\n");
    await page.getByRole("button", { name: "Start" }).click();
    await page.locator("#problem:not(:empty)").waitFor();
    const mistake = await text("problem");
    await page.getByLabel("DAG file").fill(dag);
    await page.getByRole("button", { name: "Start" }).click();
    await page.getByRole("button", { name: "Approve" }).click();
    await page.getByLabel("Answer to").fill("Ada");
    await page.getByRole("button", { name: "Answer" }).click();
    await page.locator("#state", { hasText: "succeeded" }).waitFor();
    await page.locator("#log", { hasText: "hello" }).waitFor();
    const [run, events, log] = [await text("run"), await text("events"), await text("log")];
    const after = await page.locator("#runs li").count();
    console.log(JSON.stringify({ me, before, mistake, run, events, log, after, errors }));
  }
} finally {
  await browser.close();
}
