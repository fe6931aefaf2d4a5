// Cuts what GitHub says of a repository's webhooks out of its OpenAPI description, for the tests.
//
//     npm pack @octokit/openapi@23.0.2 && tar xzf octokit-openapi-23.0.2.tgz
//     node scripts/cut-github-schema.mjs package
//
// Writes tests/fixtures/github/{hooks.json,LICENSE}. Descriptions and examples are left out, and
// `nullable: true` becomes a type `null`, as JSON Schema has it.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'

const [folder] = process.argv.slice(2)
if (!folder) {
  console.error('usage: node scripts/cut-github-schema.mjs <folder of the unpacked @octokit/openapi>')
  process.exit(2)
}

const prefix = '/repos/{owner}/{repo}/hooks'
const annotations = new Set(['description', 'example', 'examples', 'title', 'externalDocs', 'x-github', 'default'])

/** A schema without what is for people, in JSON Schema's terms. */
function plain(schema, isMap = false) {
  if (Array.isArray(schema)) return schema.map(item => plain(item))
  if (schema === null || typeof schema !== 'object') return schema
  const kept = Object.entries(schema).filter(([key]) => isMap || (!annotations.has(key) && key !== 'nullable'))
  const cut = Object.fromEntries(kept.map(([key, value]) => [key, plain(value, !isMap && key === 'properties')]))
  if (isMap || schema.nullable !== true) return cut
  if (typeof cut.type === 'string') return { ...cut, type: [cut.type, 'null'] }
  return { anyOf: [cut, { type: 'null' }] }
}

const answersOf = ({ operationId, responses }) => {
  const bodies = Object.entries(responses).map(([status, { content }]) => [
    status,
    plain(content?.['application/json']?.schema ?? null)
  ])
  return { operationId, answers: Object.fromEntries(bodies) }
}

const { paths } = JSON.parse(readFileSync(`${folder}/generated/api.github.com.deref.json`))
const hooks = Object.entries(paths).filter(([path]) => path === prefix || path.startsWith(`${prefix}/`))
const cut = hooks.map(([path, item]) => {
  const methods = Object.entries(item).filter(([, operation]) => operation.operationId)
  return [path, Object.fromEntries(methods.map(([method, operation]) => [method, answersOf(operation)]))]
})
const { version } = JSON.parse(readFileSync(`${folder}/package.json`))

const target = new URL('../tests/fixtures/github/', import.meta.url)
mkdirSync(target, { recursive: true })
const origin = `npm @octokit/openapi ${version}, cut by scripts/cut-github-schema.mjs`
writeFileSync(new URL('hooks.json', target), JSON.stringify({ origin, paths: Object.fromEntries(cut) }, null, 1) + '\n')
writeFileSync(new URL('LICENSE', target), readFileSync(`${folder}/LICENSE`))
console.log(`${cut.length} paths, ${cut.flatMap(([, methods]) => Object.keys(methods)).length} operations`)
