// GitHub's own client walks the twelve routes of GitHub's hook API, over a real relay.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Octokit } from '@octokit/rest'
import { verify } from '@octokit/webhooks-methods'
import { happens, startReceiver, startRelay, TOKEN } from './relay.mjs'
import { heldAgainstGitHub } from './schema.mjs'

const SECRET = 'receiver-s3cret'
const of = { owner: 'orbit', repo: 'lander' }
const repository = { id: 140, name: 'lander', full_name: 'orbit/lander' }
let relay, receiver, octokit

const silent = { debug() {}, info() {}, warn() {}, error() {} }
const client = auth => heldAgainstGitHub(new Octokit({ auth, baseUrl: `${relay.url}/api/v3`, log: silent }))

const create = (path, more = {}) =>
  octokit.rest.repos.createWebhook({
    ...of,
    events: ['push'],
    ...more,
    config: { url: receiver.url + path, content_type: 'json', secret: SECRET, ...more.config }
  })

/** The call is refused with this status; gives its body. */
async function refused(status, call) {
  const error = await call.then(
    ({ status }) => assert.fail(`not refused, but ${status}`),
    error => error
  )
  assert.equal(error.status, status, error.message)
  return error.response.data
}

/** Deliveries, once there are as many as are waited for. */
async function deliveries(hook_id, count) {
  for (;;) {
    const found = await octokit.paginate(octokit.rest.repos.listWebhookDeliveries, { ...of, hook_id, per_page: 1 })
    if (found.length >= count) return found
  }
}

before(async () => {
  relay = await startRelay()
  receiver = await startReceiver()
  octokit = client(TOKEN)
  await happens(relay.url, 'push', { ref: 'refs/heads/main', before: '1', after: '2', commits: [], repository })
})

after(async () => {
  receiver?.stop()
  await relay?.stop()
})

test('a hook is made, pinged, shown, changed and deleted', async () => {
  const made = await create('/made')
  assert.equal(made.status, 201)
  const hook = made.data
  assert.equal(made.headers.location, hook.url)
  assert.deepEqual([hook.type, hook.name, hook.active, hook.events], ['Repository', 'web', true, ['push']])
  assert.deepEqual(hook.last_response, { code: null, status: 'unused', message: null })
  assert.equal(hook.config.secret, '********')

  const ping = await receiver.next()
  assert.equal(ping.headers['x-github-event'], 'ping')
  assert.equal(ping.headers['x-github-hook-id'], `${hook.id}`)
  assert.equal(ping.headers['x-github-hook-installation-target-id'], '140')
  assert.match(ping.headers['user-agent'], /^GitHub-Hookshot\//)
  assert.ok(await verify(SECRET, ping.body, ping.headers['x-hub-signature-256']))
  assert.ok(!(await verify('other', ping.body, ping.headers['x-hub-signature-256'])))
  assert.equal(JSON.parse(ping.body).hook_id, hook.id)

  await deliveries(hook.id, 1)
  const ids = { ...of, hook_id: hook.id }
  const { data: shown } = await octokit.rest.repos.getWebhook(ids)
  assert.deepEqual(shown.last_response, { code: 204, status: 'active', message: 'OK' })

  const { data: more } = await octokit.rest.repos.updateWebhook({ ...ids, add_events: ['release'], active: true })
  assert.deepEqual(more.events, ['push', 'release'])
  const { data: fewer } = await octokit.rest.repos.updateWebhook({ ...ids, remove_events: ['release'] })
  assert.deepEqual(fewer.events, ['push'])
  const { data: bare } = await octokit.rest.repos.updateWebhook({ ...ids, config: { url: hook.config.url, content_type: 'json' } })
  assert.equal(bare.config.secret, undefined, 'a configuration without a secret removes it')

  assert.equal((await octokit.rest.repos.deleteWebhook(ids)).status, 204)
  await refused(404, octokit.rest.repos.getWebhook(ids))
  await refused(404, octokit.rest.repos.deleteWebhook(ids))
})

test('a configuration is read and changed in part', async () => {
  const { data: hook } = await create('/config', { config: { content_type: 'form' } })
  const ids = { ...of, hook_id: hook.id }
  const ping = await receiver.next()
  assert.match(ping.body, /^payload=%7B/)
  assert.ok(await verify(SECRET, ping.body, ping.headers['x-hub-signature-256']), 'over the raw body')

  const { data: before } = await octokit.rest.repos.getWebhookConfigForRepo(ids)
  assert.deepEqual(before, { url: hook.config.url, content_type: 'form', insecure_ssl: '0', secret: '********' })
  const changed = { content_type: 'json', insecure_ssl: 1, secret: '********' }
  const { data: after } = await octokit.rest.repos.updateWebhookConfigForRepo({ ...ids, ...changed })
  assert.deepEqual(after, { ...before, content_type: 'json', insecure_ssl: '1' })

  await octokit.rest.repos.pingWebhook(ids)
  const again = await receiver.next()
  assert.ok(await verify(SECRET, again.body, again.headers['x-hub-signature-256']), 'the mask keeps the secret')
  await octokit.rest.repos.deleteWebhook(ids)
})

test('deliveries are listed, shown and sent again', async () => {
  const { data: hook } = await create('/deliveries')
  const ids = { ...of, hook_id: hook.id }
  await receiver.next()
  await happens(relay.url, 'push', { ref: 'refs/heads/main', before: '2', after: '3', commits: [], repository })
  const push = await receiver.next()
  assert.equal(push.headers['x-github-event'], 'push')
  assert.equal((await octokit.rest.repos.testPushWebhook(ids)).status, 204)
  const test = await receiver.next()
  assert.equal(test.body, push.body, 'the newest push')
  assert.notEqual(test.headers['x-github-delivery'], push.headers['x-github-delivery'])

  const listed = await deliveries(hook.id, 3)
  assert.deepEqual(listed.map(({ event }) => event), ['push', 'push', 'ping'])
  const [, pushed] = listed
  assert.equal(pushed.guid, push.headers['x-github-delivery'])
  assert.deepEqual([pushed.status, pushed.status_code, pushed.redelivery], ['OK', 204, false])
  assert.deepEqual([pushed.action, pushed.repository_id], [null, 140])
  const { data: full } = await octokit.rest.repos.getWebhookDelivery({ ...ids, delivery_id: pushed.id })
  assert.equal(full.request.headers['X-GitHub-Delivery'], push.headers['x-github-delivery'])
  assert.equal(full.request.headers['X-Hub-Signature-256'], push.headers['x-hub-signature-256'])
  assert.equal(full.request.payload.after, '3')
  assert.equal(full.response.headers['X-Receiver'], 'loopback')

  const redelivered = await octokit.rest.repos.redeliverWebhookDelivery({ ...ids, delivery_id: pushed.id })
  assert.equal(redelivered.status, 202)
  const again = await receiver.next()
  assert.equal(again.headers['x-github-delivery'], push.headers['x-github-delivery'])
  assert.equal(again.body, push.body)
  const [newest] = await deliveries(hook.id, 4)
  assert.deepEqual([newest.guid, newest.redelivery], [pushed.guid, true])
  assert.ok(newest.id > pushed.id)

  await refused(404, octokit.rest.repos.getWebhookDelivery({ ...ids, delivery_id: 999_999_999 }))
  await refused(422, octokit.rest.repos.listWebhookDeliveries({ ...ids, cursor: 'elsewhere' }))
  await octokit.rest.repos.deleteWebhook(ids)
})

test('lists are walked page by page', async () => {
  const made = []
  for (const number of [1, 2, 3, 4, 5]) {
    made.push((await create(`/page/${number}`)).data.id)
    await receiver.next()
  }
  const hooks = await octokit.paginate(octokit.rest.repos.listWebhooks, { ...of, per_page: 2 })
  assert.deepEqual(hooks.map(({ id }) => id), made)
  const middle = await octokit.rest.repos.listWebhooks({ ...of, per_page: 2, page: 2 })
  const relations = [...middle.headers.link.matchAll(/rel="(\w+)"/g)].map(([, name]) => name)
  assert.deepEqual(relations.sort(), ['first', 'last', 'next', 'prev'])
  const all = await octokit.rest.repos.listWebhooks(of)
  assert.equal(all.headers.link, undefined)
  for (const hook_id of made) await octokit.rest.repos.deleteWebhook({ ...of, hook_id })
})

test('what cannot be is refused in the words of GitHub', async () => {
  const { data: hook } = await create('/errors')
  await receiver.next()
  const twice = await refused(422, create('/errors', { events: ['push', 'release'] }))
  assert.equal(twice.message, 'Validation Failed')
  assert.deepEqual(twice.errors, [{ resource: 'Hook', code: 'custom', message: 'Hook already exists on this repository' }])
  await octokit.rest.repos.deleteWebhook({ ...of, hook_id: hook.id })

  const name = await refused(422, create('/name', { name: 'jenkins' }))
  assert.deepEqual([name.errors[0].field, name.errors[0].code], ['name', 'invalid'])
  const event = await refused(422, create('/event', { events: ['pushes'] }))
  assert.equal(event.errors[0].field, 'events')
  for (const url of ['nowhere', 'ftp://example.org/', 'http://10.0.0.7/', 'http://169.254.169.254/']) {
    const wrong = await refused(422, create('', { config: { url } }))
    assert.equal(wrong.errors[0].code, 'custom', url)
  }
  const unknown = client('wrong-t0ken-01234567')
  assert.equal((await refused(401, unknown.rest.repos.listWebhooks(of))).message, 'Bad credentials')
  const other = { owner: 'other', repo: 'lander' }
  assert.equal((await refused(404, octokit.rest.repos.listWebhooks(other))).message, 'Not Found')
  assert.equal(receiver.unread.length, 0, 'nothing was sent for any of it')
})

test('a receiver in trouble shows as failures until it recovers', async () => {
  receiver.say(500)
  const { data: hook } = await create('/trouble')
  const ids = { ...of, hook_id: hook.id }
  await receiver.next()
  await receiver.next()
  receiver.say(204)
  let got
  do got = await deliveries(hook.id, 2)
  while (got[0].status_code !== 204)
  assert.equal(got.length, 2, 'equal failures are one delivery')
  const failures = await octokit.rest.repos.listWebhookDeliveries({ ...ids, status: 'failure' })
  assert.deepEqual(failures.data.map(({ status }) => status), ['Invalid HTTP Response: 500'])
  const successes = await octokit.rest.repos.listWebhookDeliveries({ ...ids, status: 'success' })
  assert.deepEqual(successes.data.map(({ id }) => id), [got[0].id])
  await octokit.rest.repos.deleteWebhook(ids)
})
