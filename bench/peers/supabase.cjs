// The supabase engine as its README shows it. With a port: migrate, then give each delivery to processWebhook, behind
// Node's own http server. With `sync` and an id: syncSingleEntity, and the end. CommonJS on purpose: the package's other build cannot find its own migrations.
'use strict'
const http = require('node:http')
const { createRequire } = require('node:module')
const peer = createRequire(`${process.env.PEER_FOLDER}/package.json`)
const { StripeSync, runMigrations } = peer('@supabase/stripe-sync-engine')

const settings = {
  poolConfig: { connectionString: process.env.DATABASE_URL, max: 10 },
  stripeSecretKey: process.env.STRIPE_SECRET_KEY,
  stripeWebhookSecret: process.env.STRIPE_WEBHOOK_SECRET,
  backfillRelatedEntities: false,
}

// The engine has no setting for the API's address, but its client is a public member: the same library, elsewhere.
async function syncOne(id) {
  const sync = new StripeSync(settings)
  const { hostname, port } = new URL(process.env.STRIPE_API_BASE)
  const Stripe = peer('stripe')
  sync.stripe = new Stripe(settings.stripeSecretKey, { host: hostname, port, protocol: 'http' })
  await sync.syncSingleEntity(id)
  await sync.postgresClient.pool.end()
}

async function serve(port) {
  await runMigrations({ databaseUrl: process.env.DATABASE_URL, schema: 'stripe' })
  const sync = new StripeSync(settings)
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
    .listen(port, '127.0.0.1')
}

const [command, id] = process.argv.slice(2)
const done = command === 'sync' ? syncOne(id) : serve(Number(command))
done.catch((error) => {
  console.error(error)
  process.exit(1)
})
