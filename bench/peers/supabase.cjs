// The supabase engine behind Node's own http server, as its README shows it: migrate, then give each delivery to
// processWebhook. CommonJS on purpose: the package's other build cannot find its own migrations.
'use strict'
const http = require('node:http')
const { createRequire } = require('node:module')
const peer = createRequire(`${process.env.PEER_FOLDER}/package.json`)
const { StripeSync, runMigrations } = peer('@supabase/stripe-sync-engine')

async function main() {
  await runMigrations({ databaseUrl: process.env.DATABASE_URL, schema: 'stripe' })
  const sync = new StripeSync({
    poolConfig: { connectionString: process.env.DATABASE_URL, max: 10 },
    stripeSecretKey: process.env.STRIPE_SECRET_KEY,
    stripeWebhookSecret: process.env.STRIPE_WEBHOOK_SECRET,
    backfillRelatedEntities: false,
  })
  const answer = (response, status, body) => {
    response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
    response.end(body)
  }
  http
    .createServer((request, response) => {
      const chunks = []
      request.on('data', (chunk) => chunks.push(chunk))
      request.on('end', async () => {
        try {
          await sync.processWebhook(Buffer.concat(chunks), request.headers['stripe-signature'])
          answer(response, 200, '{"received":true}')
        } catch (error) {
          answer(response, /signature|timestamp/i.test(error.message) ? 400 : 500, '{"error":"refused"}')
          if (!/signature|timestamp/i.test(error.message)) console.error(error.message)
        }
      })
    })
    .listen(Number(process.argv[2]), '127.0.0.1')
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
