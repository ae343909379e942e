// A headless Chromium that reaches this machine and nothing else.
//
//   const browser = await startBrowser();
//   const page = await browser.page({ script: false });   // JavaScript off
//   …
//   await browser.stop();

import { chromium } from "playwright-core";

export async function startBrowser() {
  const executablePath = process.env.CHROMIUM_BIN ?? "/usr/bin/chromium";
  const browser = await chromium.launch({
    executablePath,
    args: ["--no-sandbox", "--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"],
  });
  return {
    /** A page in a cookie jar of its own. `requests` lists every URL that it asked for. */
    async page({ script = true, dark = false, width = 900, height = 800 } = {}) {
      const context = await browser.newContext({ javaScriptEnabled: script, colorScheme: dark ? "dark" : "light", viewport: { width, height } });
      const page = await context.newPage();
      page.setDefaultTimeout(20_000);
      const requests = [];
      page.on("request", (request) => void requests.push(request.url()));
      return Object.assign(page, { requests });
    },
    stop: () => browser.close(),
  };
}
