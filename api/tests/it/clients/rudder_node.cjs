// RudderStack's client for Node: arguments are host, write key, name, rounds.
const Analytics = require("@rudderstack/rudder-sdk-node");

const [host, writeKey, name, rounds] = process.argv.slice(2);

async function main() {
  const failures = [];
  for (let round = 0; round < Number(rounds); round++) {
    // Packed is what it does unless told otherwise; every second round is told.
    const errorHandler = (error) => failures.push(String(error));
    const client = new Analytics(writeKey, { dataPlaneUrl: host, gzip: round % 2 === 0, errorHandler, logLevel: "none" });
    const userId = `${name}-user`, anonymousId = `${name}-device-${round}`;
    client.page({ anonymousId, name: "Home", properties: { round } });
    client.identify({ userId, traits: { email: `${name}@example.test`, plan: "pro", round } });
    client.track({ userId, event: "Order Completed", properties: { revenue: 49.9, currency: "EUR", round } });
    client.page({ userId, category: "Shop", name: "Shoes", properties: { path: "/shoes", round } });
    client.screen({ userId, category: "App", name: "Start", properties: { round } });
    client.group({ userId, groupId: `${name}-group`, traits: { size: 3, round } });
    client.alias({ previousId: anonymousId, userId });
    await new Promise((done) => client.flush(done));
    await client.flush();
  }
  if (failures.length > 0) throw new Error(`the client gave up: ${failures}`);
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
