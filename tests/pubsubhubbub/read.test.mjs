// npm's pubsubhubbub reads a repository through the hub of a real relay, and GitHub's own library
// checks what a secret signs.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { after, before, test } from 'node:test'
import { verify } from '@octokit/webhooks-methods'
import pubSubHubbub from 'pubsubhubbub'
import { happens, startRelay } from '../octokit/relay.mjs'

const repository = { id: 7, name: 'public', full_name: 'orbit/public', private: false }
let relay, number = 0

const pushed = () => happens(relay.url, 'push', { ref: 'refs/heads/main', before: String(++number), commits: [], repository })
const topic = event => `${relay.url}/orbit/public/events/${event}`

before(async () => {
  relay = await startRelay('hub: { open: ["orbit/public"] }\n')
  await pushed()
})

after(() => relay?.stop())

/** Asks for it as the library does, and waits until the hub has asked back. */
async function ask(reader, mode, url) {
  const asked = once(reader, mode)
  await new Promise((resolve, reject) => reader[mode](url, `${relay.url}/hub`, error => (error ? reject(error) : resolve())))
  const [told] = await asked
  assert.equal(told.topic, url)
  return told
}

test('npm pubsubhubbub subscribes, receives and unsubscribes', async () => {
  const reader = pubSubHubbub.createServer({ leaseSeconds: 600 })
  reader.listen(0, '127.0.0.1')
  await once(reader, 'listen')
  reader.callbackUrl = `http://127.0.0.1:${reader.server.address().port}/`
  const url = topic('push')
  const { lease } = await ask(reader, 'subscribe', url)
  assert.ok(Math.abs(lease - Date.now() / 1000 - 600) < 60, `${lease}`)

  const feed = once(reader, 'feed')
  // The first may come while the hub still notes that the reader agreed.
  const pushing = setInterval(pushed, 200)
  const [got] = await feed
  clearInterval(pushing)
  assert.ok(Number(JSON.parse(got.feed).before) > 1)
  assert.equal(got.topic, url)
  assert.match(got.headers.link, /rel="hub".*rel="self"/)
  assert.equal(got.headers['x-hub-signature'], undefined)

  await ask(reader, 'unsubscribe', url)
  reader.server.close()
  reader.server.closeAllConnections()
})

test("GitHub's own library finds the signature of a secret right", async () => {
  const [secret, got] = ['s3cret ü &', []]
  const server = createServer((request, response) => {
    const query = new URL(request.url, 'http://x').searchParams
    const parts = []
    request.on('data', part => parts.push(part))
    request.on('end', () => {
      if (request.method === 'POST') got.push({ headers: request.headers, body: Buffer.concat(parts).toString() })
      response.end(query.get('hub.challenge') ?? '')
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const form = {
    'hub.mode': 'subscribe',
    // Answered only when the reader has agreed.
    'hub.verify': 'sync',
    'hub.topic': topic('push.json'),
    'hub.callback': `http://127.0.0.1:${server.address().port}/`,
    'hub.secret': secret
  }
  const answer = await fetch(`${relay.url}/hub`, { method: 'POST', body: new URLSearchParams(form) })
  assert.equal(answer.status, 204)
  await pushed()
  while (!got.length) await new Promise(resolve => setTimeout(resolve, 10))
  const [{ headers, body }] = got
  assert.match(headers['x-hub-signature'], /^sha256=[0-9a-f]{64}$/)
  assert.ok(await verify(secret, body, headers['x-hub-signature']))
  assert.ok(!(await verify(secret, `${body} `, headers['x-hub-signature'])))
  server.close()
  server.closeAllConnections()
})
