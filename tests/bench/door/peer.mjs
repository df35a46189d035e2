// The door of sync-engine for the bench: its own processWebhook behind node's http server; migrations are its own.
// Environment: DATABASE_URL, SECRET, MODULES (the folder with node_modules), SPECIFICATION (spec3.json). Prints its port.
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(process.env.MODULES + "/");
const { StripeSync, runMigrationsFromContent, embeddedMigrations } = await import(
  pathToFileURL(require.resolve("@stripe/sync-engine")).href
);
const silent = { info() {}, warn() {}, error(...texts) { console.error(...texts); }, debug() {} };
// Without a specification of Stripe's API it would be fetched from GitHub.
await runMigrationsFromContent(
  { databaseUrl: process.env.DATABASE_URL, logger: silent, openApiSpecPath: process.env.SPECIFICATION },
  embeddedMigrations,
);
const sync = await StripeSync.create({
  poolConfig: { connectionString: process.env.DATABASE_URL, max: 16 },
  stripeSecretKey: "sk_test_none",
  stripeWebhookSecret: process.env.SECRET,
  stripeAccountId: "acct_1",
  autoExpandLists: false,
  backfillRelatedEntities: false,
  logger: silent,
});
createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", async () => {
    let status = 200;
    try {
      await sync.webhook.processWebhook(Buffer.concat(chunks), request.headers["stripe-signature"]);
    } catch (error) {
      console.error(error.message);
      status = 400;
    }
    const body = JSON.stringify({ received: status === 200 });
    response.writeHead(status, { "Content-Type": "application/json", "Content-Length": body.length });
    response.end(body);
  });
}).listen(0, "127.0.0.1", function () {
  console.log(this.address().port);
});
