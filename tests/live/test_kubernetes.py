# SPDX-License-Identifier: Apache-2.0
"""The Kubernetes manifests that are shipped: against Kubernetes' and the Prometheus Operator's schemas, against each other, and
against what the service's documentation gives. ./dev test fetches the schemas into build/kubernetes-validate (pip) and
build/kubernetes-models (npm)."""
import copy
import json
import os
import re
import subprocess
import sys

import pytest
import yaml

from harness import SOURCE, need, run_skymond
from oidc import need_part

MANIFESTS = SOURCE / "etc" / "kubernetes"
HERE = SOURCE / "tests" / "live" / "kubernetes"
VALIDATE = SOURCE / "build" / "kubernetes-validate"
MODELS = SOURCE / "build" / "kubernetes-models"
OPERATORS = "monitoring.coreos.com/v1"
NAMES = ("configmap", "deployment", "prometheusrule", "service", "servicemonitor")

# The service's own, as its documentation has them.
GIVEN_POD = yaml.safe_load("""\
apiVersion: v1
kind: Pod
metadata:
  name: sky-genesis-api
spec:
  containers:
  - name: api
    image: sky-genesis/api:latest
    ports:
    - containerPort: 8080
    readinessProbe:
      httpGet:
        path: /api/v1/ready
        port: 8080
      initialDelaySeconds: 30
      periodSeconds: 10
    livenessProbe:
      httpGet:
        path: /api/v1/alive
        port: 8080
      initialDelaySeconds: 60
      periodSeconds: 30
""")
GIVEN_MONITOR = yaml.safe_load("""\
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata:
  name: sky-genesis-api
  namespace: monitoring
spec:
  selector:
    matchLabels:
      app: sky-genesis-api
  endpoints:
  - port: http
    path: /api/v1/metrics/prometheus
    interval: 30s
""")


def manifest(name):
    return yaml.safe_load((MANIFESTS / f"{name}.yaml").read_text())


DEPLOYMENT, SERVICE, MONITOR, CONFIGMAP = map(manifest, ("deployment", "service", "servicemonitor", "configmap"))
POD = DEPLOYMENT["spec"]["template"]
CONTAINER, = POD["spec"]["containers"]


def test_the_set():
    assert sorted(path.name for path in MANIFESTS.iterdir()) == [f"{name}.yaml" for name in NAMES]
    for name in NAMES:
        found = manifest(name)
        assert found["kind"].lower() == name
        assert (found["metadata"]["name"], found["metadata"]["namespace"]) == ("sky-genesis-api", "monitoring")


# ---- Schemas ----

def kubernetes_says(version, paths):
    need_part(VALIDATE / "kubernetes_validate", "kubernetes-validate (Python package)")
    done = subprocess.run([sys.executable, "-m", "kubernetes_validate", "--strict", "-k", version, *map(str, paths)],
                          env={"PATH": os.environ["PATH"], "PYTHONPATH": str(VALIDATE), "PYTHONDONTWRITEBYTECODE": "1"},
                          capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    return done.returncode, (done.stdout + done.stderr).splitlines()


@pytest.mark.parametrize("version", ["1.25", "1.31", "1.37"])
def test_kubernetes_own_kinds(version):
    paths = [MANIFESTS / f"{name}.yaml" for name in NAMES if manifest(name)["apiVersion"] != OPERATORS]
    code, said = kubernetes_says(version, paths)
    assert code == 0 and len(paths) == 3
    assert [line for line in said if not re.search(rf" passed for resource \S+ against version {version}$", line)] == []
    assert len(said) == len(paths)


def test_kubernetes_schemas_refuse_what_is_wrong(tmp_path):
    wrong = copy.deepcopy(DEPLOYMENT)
    wrong["spec"]["template"]["spec"]["containers"][0]["readinessProb"] = {}
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(wrong))
    code, said = kubernetes_says("1.31", [tmp_path / "wrong.yaml"])
    assert code != 0 and "readinessProb" in said[0]


def operator_says(objects):
    need_part(MODELS / "node_modules" / "@kubernetes-models" / "prometheus-operator",
              "the Prometheus Operator's schemas (npm package @kubernetes-models/prometheus-operator)")
    done = subprocess.run([need("node"), HERE / "operator.mjs"], input=json.dumps(objects), capture_output=True, text=True, timeout=60,
                          env={"PATH": os.environ["PATH"], "KUBERNETES_MODELS": str(MODELS)})
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_operators_kinds():
    objects = [found for found in map(manifest, NAMES) if found["apiVersion"] == OPERATORS]
    assert len(objects) == 2 and operator_says(objects) == []


def test_the_operators_schemas_refuse_what_is_wrong():
    wrong = copy.deepcopy(MONITOR)
    wrong["spec"]["endpoints"][0]["honorLabels"] = "yes"
    no_rule = copy.deepcopy(manifest("prometheusrule"))
    del no_rule["spec"]["groups"][0]["rules"][0]["expr"]
    said = operator_says([wrong, no_rule, MONITOR])
    assert len(said) == 2 and "honorLabels" in said[0] and "expr" in said[1]


# ---- As given, and as they fit ----

def test_the_probes_are_the_given_ones():
    given, = GIVEN_POD["spec"]["containers"]
    for probe in ("readinessProbe", "livenessProbe"):
        assert CONTAINER[probe] == given[probe]
    assert [port["containerPort"] for port in CONTAINER["ports"]] == [port["containerPort"] for port in given["ports"]]


def test_the_servicemonitor_is_the_given_one_and_honours_labels():
    assert MONITOR["spec"]["endpoints"][0]["honorLabels"] is True
    without = copy.deepcopy(MONITOR)
    del without["spec"]["endpoints"][0]["honorLabels"]
    assert without == GIVEN_MONITOR


def selected(selector, labels):
    return selector and selector.items() <= labels.items()


def test_selectors_find_each_other():
    assert selected(MONITOR["spec"]["selector"]["matchLabels"], SERVICE["metadata"]["labels"])
    assert selected(SERVICE["spec"]["selector"], POD["metadata"]["labels"])
    assert selected(DEPLOYMENT["spec"]["selector"]["matchLabels"], POD["metadata"]["labels"])
    endpoint, = MONITOR["spec"]["endpoints"]
    port, = SERVICE["spec"]["ports"]
    named = {port["name"]: port["containerPort"] for port in CONTAINER["ports"]}
    assert (port["name"], port["port"]) == (endpoint["port"], 8080) == ("http", 8080)
    for probe in ("readinessProbe", "livenessProbe"):
        assert CONTAINER[probe]["httpGet"]["port"] == named[port["targetPort"]]
    volume, = POD["spec"]["volumes"]
    assert volume["configMap"]["name"] == CONFIGMAP["metadata"]["name"]
    mount, = CONTAINER["volumeMounts"]
    assert mount["name"] == volume["name"] and f"{mount['mountPath']}/{list(CONFIGMAP['data'])[0]}" == CONTAINER["command"][-1]


def test_the_service_has_the_name_of_the_job():
    """The Operator makes the label `job` of it."""
    jobs = yaml.safe_load((SOURCE / "etc/prometheus/prometheus.yml").read_text())["scrape_configs"]
    assert [job["job_name"] for job in jobs] == [SERVICE["metadata"]["name"]]


def test_it_may_do_as_little_as_can_be():
    assert POD["spec"]["automountServiceAccountToken"] is False
    pod, container = POD["spec"]["securityContext"], CONTAINER["securityContext"]
    assert pod["runAsNonRoot"] is True and pod["runAsUser"] > 0 and pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert CONTAINER["resources"]["limits"]["memory"] and set(CONTAINER["resources"]["requests"]) == {"cpu", "memory"}


def test_the_image_is_of_this_version():
    version = re.search(r"AC_INIT\(\[skymon\], \[([^]]+)\]", (SOURCE / "configure.ac").read_text()).group(1)
    assert CONTAINER["image"].endswith(f"/skymon:{version}")


# ---- The configuration ----

CONFIG = CONFIGMAP["data"]["skymon.yaml"]
ADDRESSES = {"VAULT_ADDR": "http://127.0.0.1:1", "DATABASE_URL": "postgresql://u:p@127.0.0.1:1/d", "OIDC_ISSUER": "http://127.0.0.1:1",
             "OIDC_CLIENT_ID": "c", "OIDC_CLIENT_SECRET": "s", "WEBSOCKET_URL": "ws://127.0.0.1:1", "REDIS_URL": "redis://127.0.0.1:1"}


@pytest.mark.parametrize("env", [{}, ADDRESSES], ids=["bare", "with addresses"])
def test_skymond_takes_the_configuration(env):
    done = run_skymond(CONFIG, "--check-config", env=env)
    assert done.returncode == 0, done.stderr


def test_it_answers_probes_and_scrapes_as_the_manifests_ask(skymond):
    """With its addresses, at which no server answers: ready all the same, and the components of the service's documentation are there."""
    daemon = skymond(CONFIG, env=ADDRESSES)
    daemon.wait_component("database", status="unhealthy")
    for probe in ("readinessProbe", "livenessProbe"):
        assert daemon.get(CONTAINER[probe]["httpGet"]["path"], timeout=1).status_code == 200
    assert 'service="api"' in daemon.get(MONITOR["spec"]["endpoints"][0]["path"]).text
    for component in ("vault", "database", "authentication", "websocket"):
        assert daemon.component(component)["reason"] != "not_configured"


def test_it_has_stopped_before_it_is_killed():
    """It drains, then gives open requests and workers 10 s (the default of shutdown.timeout); the kubelet waits 30 s by default."""
    drain = int(yaml.safe_load(CONFIG)["shutdown"]["drain"].removesuffix("s"))
    assert 0 < drain + 10 < POD["spec"].get("terminationGracePeriodSeconds", 30)


def test_the_operators_rules_are_those_of_prometheus():
    groups = [group for path in sorted((SOURCE / "etc/prometheus/rules").iterdir()) for group in yaml.safe_load(path.read_text())["groups"]]
    assert len(groups) > 1 and manifest("prometheusrule")["spec"]["groups"] == groups
