// Segment's client for Node: arguments are host, write key, name, rounds.
const { Analytics } = require("@segment/analytics-node");

const [host, writeKey, name, rounds] = process.argv.slice(2);

async function main() {
  const failures = [];
  for (let round = 0; round < Number(rounds); round++) {
    const client = new Analytics({ writeKey, host, flushInterval: 100 });
    client.on("error", (error) => failures.push(error));
    const userId = `${name}-user`, anonymousId = `${name}-device-${round}`;
    client.page({ anonymousId, name: "Home", properties: { round } });
    client.identify({ userId, traits: { email: `${name}@example.test`, plan: "pro", round } });
    client.track({ userId, event: "Order Completed", properties: { revenue: 49.9, currency: "EUR", round } });
    client.page({ userId, category: "Shop", name: "Shoes", properties: { path: "/shoes", round } });
    client.screen({ userId, category: "App", name: "Start", properties: { round } });
    client.group({ userId, groupId: `${name}-group`, traits: { size: 3, round } });
    client.alias({ previousId: anonymousId, userId });
    await client.closeAndFlush({ timeout: 60_000 });
  }
  if (failures.length > 0) throw new Error(`the client gave up: ${JSON.stringify(failures)}`);
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
