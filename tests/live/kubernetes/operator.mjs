// SPDX-License-Identifier: Apache-2.0
// Judges objects of the Prometheus Operator by its schemas: a JSON array on standard input, a line for each that is bad on standard
// output. KUBERNETES_MODELS is the folder that holds node_modules.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const require = createRequire(process.env.KUBERNETES_MODELS + "/");
const models = require("@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1");

for (const object of JSON.parse(readFileSync(0, "utf8"))) {
	const name = `${object.kind}/${object.metadata?.name}`;
	if (!models[object.kind]) {
		console.log(`${name}: the Operator has no such kind`);
		continue;
	}
	try {
		new models[object.kind](object).validate();
	} catch (error) {
		console.log(`${name}: ${error.message}`);
	}
}
