// Holds each answer against what GitHub says of its own API.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import Ajv from 'ajv'
import formats from 'ajv-formats'

const { paths } = JSON.parse(readFileSync(new URL('../fixtures/github/hooks.json', import.meta.url)))
const operations = Object.values(paths).flatMap(Object.values)
const ajv = formats(new Ajv({ allErrors: true, strictTypes: false }).addFormat('int64', true))
const validators = new Map()

/** Checks the answers, good and bad, that this client gets from here on. */
export function heldAgainstGitHub(octokit) {
  octokit.hook.after('request', (response, options) => check(options.method, response))
  octokit.hook.error('request', (error, options) => {
    if (error.response) check(options.method, error.response)
    throw error
  })
  return octokit
}

function check(method, { url, status, data }) {
  const path = new URL(url).pathname.replace(/^\/api\/v3/, '')
  const call = `${method} ${path} ${status}`
  const schema = operation(method, path)?.answers[status] ?? error(status)
  if (status === 204) return assert.ok(!data, call)
  assert.ok(schema, `${call}: GitHub has no such answer`)
  if (!validators.has(schema)) validators.set(schema, ajv.compile(schema))
  const validate = validators.get(schema)
  assert.ok(validate(data), `${call}: ${ajv.errorsText(validate.errors)}`)
}

function operation(method, path) {
  const parts = path.split('/')
  const fits = template =>
    template.length === parts.length && template.every((part, at) => part === parts[at] || part.startsWith('{'))
  const found = Object.entries(paths).find(([template]) => fits(template.split('/')))
  return found?.[1][method.toLowerCase()]
}

/** What any call may be refused with, as another operation has it; a 401 has the form of a 404. */
function error(status) {
  const like = { 401: 404, 404: 404, 422: 422 }[status]
  return operations.map(({ answers }) => answers[like]).find(Boolean)
}
