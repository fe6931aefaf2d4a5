// A real relay in a folder of its own, and a receiver on loopback that remembers what it got.

import { spawn } from 'node:child_process'
import { createHmac, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const TOKEN = 'octokit-t0ken-0123'
const SOURCE_SECRET = 'source-s3cret'
const binary = process.env.GOGS_RELAY ?? fileURLToPath(new URL('../../target/debug/gogs-relay', import.meta.url))

const config = `
listen: 127.0.0.1:0
admin: { listen: 127.0.0.1:0 }
sources: { gogs: { secret: ${SOURCE_SECRET} } }
destinations: { screen: { console: } }
egress: { allow: [127.0.0.0/8] }
api:
  tokens: [{ name: ci, token: ${TOKEN}, repos: ["orbit/*"] }]
`

/** Starts the binary with further lines of relay.yaml; `url` is where it listens. */
export async function startRelay(more = '') {
  const folder = mkdtempSync(join(tmpdir(), 'gogs-relay-octokit-'))
  writeFileSync(join(folder, 'relay.yaml'), config + more)
  const relay = spawn(binary, ['serve', '-c', 'relay.yaml'], { cwd: folder })
  const url = await ready(relay)
  const stop = async () => {
    const ended = once(relay, 'exit')
    relay.kill('SIGTERM')
    await ended
    rmSync(folder, { recursive: true })
  }
  return { url, stop }
}

/** Reads what it says until it says where it listens. */
function ready(relay) {
  return new Promise((resolve, reject) => {
    let said = ''
    const hear = text => {
      said += text
      const found = said.match(/ready: hooks at (http:\/\/[\d.:]+)\/hooks\//)
      if (found) resolve(found[1])
    }
    relay.stdout.on('data', hear)
    relay.stderr.on('data', hear)
    relay.on('error', reject)
    relay.on('exit', code => reject(new Error(`the relay ended with ${code}: ${said}`)))
  })
}

/** Posts an event as Gogs does. */
export async function happens(url, event, payload) {
  const body = JSON.stringify(payload)
  const answer = await fetch(`${url}/hooks/gogs`, {
    method: 'POST',
    body,
    headers: {
      'content-type': 'application/json',
      'x-gogs-event': event,
      'x-gogs-delivery': randomUUID(),
      'x-gogs-signature': createHmac('sha256', SOURCE_SECRET).update(body).digest('hex')
    }
  })
  if (answer.status !== 202) throw new Error(`${answer.status}: ${await answer.text()}`)
}

/** Answers 204, but where told otherwise by `say`; `next` waits for a request that nobody took yet. */
export async function startReceiver() {
  const [unread, waiting] = [[], []]
  let status = 204
  const server = createServer((request, response) => {
    const parts = []
    request.on('data', part => parts.push(part))
    request.on('end', () => {
      const got = { headers: request.headers, path: request.url, body: Buffer.concat(parts).toString() }
      const taker = waiting.shift()
      taker ? taker(got) : unread.push(got)
      response.writeHead(status, { 'x-receiver': 'loopback' }).end(status === 204 ? undefined : 'no thanks')
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    say: given => (status = given),
    unread,
    next: () => (unread.length ? Promise.resolve(unread.shift()) : new Promise(resolve => waiting.push(resolve))),
    stop: () => {
      server.close()
      server.closeAllConnections()
    }
  }
}
