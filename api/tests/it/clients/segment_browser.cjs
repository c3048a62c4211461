// Segment's client for browsers, in a real one, on a page of another origin: arguments are host, write key, name,
// rounds. Ends once its standard input does.
const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");
const { chromium } = require("playwright-core");

const [host, writeKey, name, rounds] = process.argv.slice(2);
const scripts = path.join(path.dirname(require.resolve("@segment/analytics-next/package.json")), "dist/umd");

/// The shop's page: the client is told the write key and the host, and nothing else.
function shop(round) {
  const strategies = [
    undefined,
    { strategy: "batching", config: { size: 5, timeout: 200 } },
    { config: { keepalive: true } },
  ];
  // The last round's events leave with the page, as a visitor who closes it takes them along.
  const last = { strategy: "batching", config: { size: 100, timeout: 600_000 } };
  const deliveryStrategy = round + 1 < Number(rounds) ? strategies[round % strategies.length] : last;
  const integrations = deliveryStrategy ? { "Segment.io": { deliveryStrategy } } : {};
  return `<!doctype html><title>Shop</title><script src="/index.js"></script><script>
    const user = "${name}-user", device = "${name}-device-${round}", round = ${round};
    const analytics = AnalyticsNext.AnalyticsBrowser.load(
      { writeKey: "${writeKey}", cdnURL: "${host}" }, { integrations: ${JSON.stringify(integrations)} });
    analytics.setAnonymousId(device);
    window.said = Promise.all([
      analytics.page("Home", { round }),
      analytics.identify(user, { email: "${name}@example.test", plan: "pro", round }),
      analytics.track("Order Completed", { revenue: 49.9, currency: "EUR", round }),
      analytics.page("Shop", "Shoes", { path: "/shoes", round }),
      analytics.screen("App", "Start", { round }),
      analytics.group("${name}-group", { size: 3, round }),
      analytics.alias(user, device),
    ]);
  </script>`;
}

const site = http.createServer((request, response) => {
  const url = new URL(request.url, "http://shop");
  const script = path.join(scripts, path.basename(url.pathname));
  if (url.pathname === "/") {
    response.writeHead(200, { "content-type": "text/html" }).end(shop(Number(url.searchParams.get("round"))));
  } else if (fs.existsSync(script) && script.endsWith(".js")) {
    response.writeHead(200, { "content-type": "text/javascript" }).end(fs.readFileSync(script));
  } else {
    response.writeHead(404).end();
  }
});

/// Events of a request to the door: each of a batch, else one.
function eventsOf(request) {
  const [, route] = request.url().match(/\/v1\/([a-z]+)$/) ?? [];
  if (request.method() !== "POST" || !route || route === "m") return 0;
  return JSON.parse(request.postData()).batch?.length ?? 1;
}

async function main() {
  await new Promise((listening) => site.listen(0, "127.0.0.1", listening));
  const origin = `http://127.0.0.1:${site.address().port}`;
  const browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync"],
  });
  const strangers = new Set();
  for (let round = 0; round < Number(rounds); round++) {
    // A visitor of their own, with nothing stored.
    const context = await browser.newContext();
    const page = await context.newPage();
    page.on("pageerror", (error) => console.error(`page: ${error}`));
    page.on("request", (request) => {
      if (![origin, host].includes(new URL(request.url()).origin)) strangers.add(request.url());
    });
    let taken = 0;
    let allTaken;
    const waiting = new Promise((resolve) => (allTaken = resolve));
    page.on("response", (response) => {
      if (response.status() === 200) taken += eventsOf(response.request());
      if (taken >= 7) allTaken();
    });
    await page.goto(`${origin}/?round=${round}`);
    await page.evaluate(() => window.said);
    if (round + 1 < Number(rounds)) {
      await waiting;
      await context.close();
    } else {
      const event = { type: "track", event: "Beacon", writeKey, userId: `${name}-user`, messageId: `${name}-beacon`,
        properties: { round } };
      await page.evaluate(([url, text]) => navigator.sendBeacon(url, text), [`${host}/v1/t`, JSON.stringify(event)]);
      await page.goto("about:blank");
    }
  }
  await new Promise((ended) => process.stdin.on("end", ended).resume());
  await browser.close();
  site.close();
  if (strangers.size > 0) throw new Error(`the client asked others: ${[...strangers]}`);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
