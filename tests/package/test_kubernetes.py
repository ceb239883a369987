# SPDX-License-Identifier: Apache-2.0
"""The manifests for Kubernetes: the kustomize base with its overlays, and the Helm chart. Rendered by the code of kustomize and Helm, held to the
pod security standard "restricted" by the code of Kubernetes' admission (charts/main.go), and compared with Kubernetes' and the Prometheus
Operator's schemas, with each other, and with what the service's documentation gives. ./dev test fetches the schemas into
build/kubernetes-validate (pip) and build/kubernetes-models (npm), and the modules of charts/go.sum."""
import copy
import functools
import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml

import schema
from harness import SOURCE, need, run_skymond
from oidc import need_part

BASE = SOURCE / "etc" / "kubernetes" / "base"
OVERLAYS = SOURCE / "etc" / "kubernetes" / "overlays"
CHART = SOURCE / "etc" / "helm" / "skymon"
HERE = SOURCE / "tests" / "live" / "kubernetes"
VALIDATE = SOURCE / "build" / "kubernetes-validate"
MODELS = SOURCE / "build" / "kubernetes-models"
CHARTS = SOURCE / "build" / "charts" / "charts"
OPERATORS = "monitoring.coreos.com/v1"
VERSIONS = ["1.25", "1.31", "1.37"]

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


# Values of the chart: as they ship, and with all that they switch on.
EVERYTHING = {
    "fullnameOverride": "sky-genesis-api", "image": {"repository": "registry.test/skymon", "tag": "9", "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "pull"}], "replicas": 2, "addresses": {"DATABASE_URL": "postgresql://skymon@db/orders"},
    "config": {"listen": ":9180", "plugins": {"prometheus": {}}, "components": {"host": {"plugin": "host", "warn": {"disk_free": "<10%"}}}},
    "secrets": {"existingSecret": "passwords"}, "service": {"port": 9180, "ipFamilyPolicy": "RequireDualStack"},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}, "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
    "networkPolicy": {"egress": [{"ports": [{"protocol": "TCP", "port": 6432}]}]}, "podLabels": {"team": "a"}, "podAnnotations": {"note": "b"},
    "nodeSelector": {"disk": "ssd"}, "tolerations": [{"operator": "Exists"}], "affinity": {"nodeAffinity": {}},
}
# A chart of a service that has skymon as a sidecar, as the end of values.yaml says it.
PARENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: orders
spec:
  selector:
    matchLabels: {app: orders}
  template:
    metadata:
      labels: {app: orders}
    spec:
      securityContext: {runAsNonRoot: true, fsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: orders
          image: registry.test/orders:1
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: ["ALL"]}}
        {{- include "skymon.container" .Subcharts.skymon | nindent 8 }}
      volumes:
        {{- include "skymon.volumes" .Subcharts.skymon | nindent 8 }}
"""


def charts(*words, text=None):
    """The program of charts/main.go: (exit code, what it printed, its errors)"""
    need_part(CHARTS, "the code of Helm and kustomize (Go modules)")
    done = subprocess.run([CHARTS, *map(str, words)], input=text, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def rendered(*words):
    code, out, errors = charts(*words)
    assert code == 0, errors
    return [found for found in yaml.safe_load_all(out) if found]


@functools.lru_cache(maxsize=None)
def kustomized(folder):
    return rendered("kustomize", folder)


@pytest.fixture(scope="module")
def helm(tmp_path_factory):
    """helm(values) -> the objects; helm(values, parent=True): of a chart that has ours as its dependency"""
    folder = tmp_path_factory.mktemp("helm")
    parent = folder / "orders"
    (parent / "templates").mkdir(parents=True)
    (parent / "templates" / "deployment.yaml").write_text(PARENT)
    (parent / "Chart.yaml").write_text("apiVersion: v2\nname: orders\nversion: 1.0.0\ndependencies: [{name: skymon, version: 0.1.0}]\n")
    shutil.copytree(CHART, parent / "charts" / "skymon")

    def render(values, in_parent=False):
        file = folder / "values.yaml"
        file.write_text(yaml.safe_dump({"skymon": values} if in_parent else values))
        return rendered("helm", parent if in_parent else CHART, file)
    return render


@pytest.fixture(params=["base", "standalone", "sidecar", "helm", "helm everything", "helm sidecar"])
def objects(request, helm):
    """The objects that each way to install it makes."""
    if request.param == "helm":
        return helm({})
    if request.param == "helm everything":
        return helm(EVERYTHING)
    if request.param == "helm sidecar":
        return helm({"mode": "sidecar", "service": {"selector": {"app": "orders"}}, "secrets": {"existingSecret": "passwords"},
                     "serviceMonitor": {"enabled": True}}, in_parent=True)
    return kustomized(BASE if request.param == "base" else OVERLAYS / request.param)


def only(objects, kind):
    found, = [each for each in objects if each["kind"] == kind]
    return found


def skymon_of(objects):
    pod = only(objects, "Deployment")["spec"]["template"]
    container, = [each for each in pod["spec"]["containers"] if each["name"] == "skymon"]
    return pod, container


def config_of(objects):
    """The text of skymon.yaml in the ConfigMap that the pod mounts."""
    pod, container = skymon_of(objects)
    mount, = [each for each in container["volumeMounts"] if each["mountPath"] == "/etc/skymon"]
    volume, = [each for each in pod["spec"]["volumes"] if each["name"] == mount["name"]]
    made, = [each for each in objects if each["kind"] == "ConfigMap" and each["metadata"]["name"] == volume["configMap"]["name"]]
    assert container["command"] == ["skymond", "-c", "/etc/skymon/skymon.yaml"] and list(made["data"]) == ["skymon.yaml"]
    return made["data"]["skymon.yaml"]


# ---- Schemas ----

def kubernetes_says(version, path):
    need_part(VALIDATE / "kubernetes_validate", "kubernetes-validate (Python package)")
    done = subprocess.run([sys.executable, "-m", "kubernetes_validate", "--strict", "-k", version, path],
                          env={"PATH": os.environ["PATH"], "PYTHONPATH": str(VALIDATE), "PYTHONDONTWRITEBYTECODE": "1"},
                          capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    return done.returncode, (done.stdout + done.stderr).splitlines()


def operator_says(objects):
    need_part(MODELS / "node_modules" / "@kubernetes-models" / "prometheus-operator",
              "the Prometheus Operator's schemas (npm package @kubernetes-models/prometheus-operator)")
    done = subprocess.run([need("node"), HERE / "operator.mjs"], input=json.dumps(objects), capture_output=True, text=True, timeout=60,
                          env={"PATH": os.environ["PATH"], "KUBERNETES_MODELS": str(MODELS)})
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_schemas_take_all(objects, tmp_path):
    own = [each for each in objects if each["apiVersion"] != OPERATORS]
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(own))
    for version in VERSIONS:
        code, said = kubernetes_says(version, tmp_path / "all.yaml")
        assert code == 0 and len(said) == len(own) >= 3, said
        assert [line for line in said if not re.search(rf" passed for resource \S+ against version {version}$", line)] == []
    assert operator_says([each for each in objects if each["apiVersion"] == OPERATORS]) == []


def test_kubernetes_schemas_refuse_what_is_wrong(tmp_path):
    wrong = copy.deepcopy(only(kustomized(BASE), "Deployment"))
    wrong["spec"]["template"]["spec"]["containers"][0]["readinessProb"] = {}
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(wrong))
    code, said = kubernetes_says("1.31", tmp_path / "wrong.yaml")
    assert code != 0 and "readinessProb" in said[0]


def test_the_operators_schemas_refuse_what_is_wrong():
    monitor, no_rule = only(kustomized(BASE), "ServiceMonitor"), copy.deepcopy(only(kustomized(BASE), "PrometheusRule"))
    wrong = copy.deepcopy(monitor)
    wrong["spec"]["endpoints"][0]["honorLabels"] = "yes"
    del no_rule["spec"]["groups"][0]["rules"][0]["expr"]
    said = operator_says([wrong, no_rule, monitor])
    assert len(said) == 2 and "honorLabels" in said[0] and "expr" in said[1]


# ---- Pod security ----

def test_pods_are_restricted(objects):
    code, said, errors = charts("restricted", text=yaml.safe_dump_all(objects))
    assert (code, said) == (0, ""), errors
    pod, container = skymon_of(objects)
    security = container["securityContext"]
    assert security["readOnlyRootFilesystem"] is True and security["allowPrivilegeEscalation"] is False
    assert container["resources"]["limits"]["memory"] and set(container["resources"]["requests"]) == {"cpu", "memory"}
    assert {**pod["spec"].get("securityContext", {}), **security}["runAsUser"] == 65532


@pytest.mark.parametrize("harm, word", [
    (lambda pod: pod["securityContext"].pop("seccompProfile"), "seccompProfile"),
    (lambda pod: pod["securityContext"].pop("runAsNonRoot"), "runAsNonRoot"),
    (lambda pod: pod["containers"][0]["securityContext"].pop("capabilities"), "capabilities"),
    (lambda pod: pod["containers"][0]["securityContext"].update(allowPrivilegeEscalation=True), "allowPrivilegeEscalation"),
    (lambda pod: pod["volumes"].append({"name": "host", "hostPath": {"path": "/"}}), "hostPath"),
])
def test_the_standard_refuses_more(harm, word):
    wrong = copy.deepcopy(only(kustomized(BASE), "Deployment"))
    harm(wrong["spec"]["template"]["spec"])
    code, said, _ = charts("restricted", text=yaml.safe_dump(wrong))
    assert code == 0 and said.startswith("sky-genesis-api: ") and word in said


# ---- As given, and as they fit ----

def test_the_probes_are_the_given_ones():
    given, = GIVEN_POD["spec"]["containers"]
    _, container = skymon_of(kustomized(BASE))
    for probe in ("readinessProbe", "livenessProbe"):
        assert container[probe] == given[probe]
    assert [port["containerPort"] for port in container["ports"]] == [port["containerPort"] for port in given["ports"]]


def test_the_servicemonitor_is_the_given_one_and_honours_labels():
    without = copy.deepcopy(only(kustomized(BASE), "ServiceMonitor"))
    assert without["spec"]["endpoints"][0].pop("honorLabels") is True
    assert without == GIVEN_MONITOR


def selected(selector, labels):
    return selector and selector.items() <= labels.items()


def test_they_find_each_other(objects):
    pod, container = skymon_of(objects)
    service = only(objects, "Service")
    labels = pod["metadata"]["labels"]
    assert selected(service["spec"]["selector"], labels) and service["spec"]["ipFamilyPolicy"] in ("PreferDualStack", "RequireDualStack")
    assert selected(only(objects, "Deployment")["spec"]["selector"]["matchLabels"], labels)
    named = {port["name"]: port["containerPort"] for each in pod["spec"]["containers"] for port in each.get("ports", [])}
    assert all(port["targetPort"] in named for port in service["spec"]["ports"])
    port, = [port for port in service["spec"]["ports"] if port["name"] == "http"]
    listens = yaml.safe_load(config_of(objects))["listen"]
    assert listens == f":{port['port']}" == f":{named[port['targetPort']]}"
    for probe in ("readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] in (port["port"], port["targetPort"])
    for monitor in [each for each in objects if each["kind"] == "ServiceMonitor"]:
        assert selected(monitor["spec"]["selector"]["matchLabels"], service["metadata"]["labels"])
        endpoint, = monitor["spec"]["endpoints"]
        assert (endpoint["port"], endpoint["honorLabels"], endpoint["path"]) == ("http", True, "/api/v1/metrics/prometheus")
        job = service["metadata"]["labels"][monitor["spec"]["jobLabel"]] if "jobLabel" in monitor["spec"] else service["metadata"]["name"]
        jobs = yaml.safe_load((SOURCE / "etc/prometheus/prometheus.yml").read_text())["scrape_configs"]
        assert [each["job_name"] for each in jobs] == [job]
    for policy in [each for each in objects if each["kind"] == "NetworkPolicy"]:
        assert selected(policy["spec"]["podSelector"]["matchLabels"], labels)
        assert [each["port"] for each in policy["spec"]["ingress"][0]["ports"]] == [port["targetPort"]]
    volumes = {each["name"] for each in pod["spec"]["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes


def test_secrets_are_files(objects):
    """Never variables, which others see and children inherit."""
    pod, container = skymon_of(objects)
    assert not any("secretRef" in each for each in container.get("envFrom", []))
    assert not any("secretKeyRef" in each.get("valueFrom", {}) for each in container["env"])
    for volume in pod["spec"]["volumes"]:
        if "secret" in volume:
            assert volume["secret"]["defaultMode"] == 0o440 and pod["spec"]["securityContext"]["fsGroup"] == 65532
            mount, = [each for each in container["volumeMounts"] if each["name"] == volume["name"]]
            assert mount["readOnly"] is True and mount["mountPath"] == "/run/secrets/skymon"


def test_the_image_is_of_this_version():
    version = re.search(r"AC_INIT\(\[skymon\], \[([^]]+)\]", (SOURCE / "configure.ac").read_text()).group(1)
    for folder in (BASE, OVERLAYS / "standalone", OVERLAYS / "sidecar"):
        assert skymon_of(kustomized(folder))[1]["image"].endswith(f"/skymon:{version}")
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == chart["version"] == version


# ---- The chart's values ----

@pytest.mark.parametrize("values, word", [
    ({"mode": "daemonset"}, "mode"), ({"replica": 2}, "replica"), ({"replicas": "two"}, "replicas"), ({"image": {"repositry": "x"}}, "repositry"),
    ({"addresses": {"A": 5}}, "addresses"), ({"service": {"port": 99999}}, "port"), ({"secrets": {"mountPath": "secrets"}}, "mountPath"),
    ({"mode": "sidecar"}, "service.selector"),
])
def test_the_chart_refuses_wrong_values(values, word, tmp_path):
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values))
    code, out, errors = charts("helm", CHART, tmp_path / "values.yaml")
    assert code == 1 and out == "" and word in errors, errors


def test_the_values_arrive(helm):
    objects = helm(EVERYTHING)
    assert {each["kind"] for each in objects} == {"ConfigMap", "Deployment", "NetworkPolicy", "PrometheusRule", "Service", "ServiceMonitor"}
    pod, container = skymon_of(objects)
    assert (container["image"], container["imagePullPolicy"]) == ("registry.test/skymon:9", "Always")
    assert {"name": "DATABASE_URL", "value": "postgresql://skymon@db/orders"} in container["env"]
    assert yaml.safe_load(config_of(objects)) == EVERYTHING["config"]
    assert only(objects, "Deployment")["spec"]["replicas"] == 2 and pod["metadata"]["labels"]["team"] == "a" and pod["metadata"]["annotations"]["note"] == "b"
    assert only(objects, "NetworkPolicy")["spec"]["egress"] == EVERYTHING["networkPolicy"]["egress"]
    for kind in ("ServiceMonitor", "PrometheusRule"):
        assert only(objects, kind)["metadata"]["labels"]["release"] == "prometheus"
    changed = copy.deepcopy(EVERYTHING)
    changed["config"]["listen"] = ":9181"
    assert skymon_of(helm(changed))[0]["metadata"]["annotations"]["checksum/config"] != pod["metadata"]["annotations"]["checksum/config"]


# ---- The configuration ----

ADDRESSES = {"VAULT_ADDR": "http://127.0.0.1:1", "DATABASE_URL": "postgresql://u@127.0.0.1:1/d", "OIDC_ISSUER": "http://127.0.0.1:1",
             "WEBSOCKET_URL": "ws://127.0.0.1:1", "REDIS_URL": "redis://127.0.0.1:1"}


def with_secrets(text, folder):
    """The config with the Secret's files in a folder of the test's own."""
    for name in ("database-password", "vault-token", "redis-password", "oidc-client-secret"):
        (folder / name).write_text("geheim\n")
        (folder / name).chmod(0o440)
    return text.replace("/run/secrets/skymon", str(folder))


@pytest.mark.parametrize("env", [{}, ADDRESSES], ids=["bare", "with addresses"])
def test_skymond_takes_the_configuration(objects, env, tmp_path):
    text = config_of(objects)
    done = run_skymond(with_secrets(text, tmp_path) if env else text, "--check-config", env=env)
    assert done.returncode == 0 and "level=error" not in done.stderr, done.stderr
    assert schema.complaints(schema.SCHEMA, text, all_of_it=True) == []


def test_it_answers_probes_and_scrapes_as_the_manifests_ask(skymond, tmp_path):
    """With its addresses, at which no server answers: ready all the same, and the components of the service's documentation are there."""
    objects = kustomized(BASE)
    daemon = skymond(with_secrets(config_of(objects), tmp_path), env=ADDRESSES)
    daemon.wait_component("database", status="unhealthy")
    for probe in ("readinessProbe", "livenessProbe"):
        assert daemon.get(skymon_of(objects)[1][probe]["httpGet"]["path"], timeout=1).status_code == 200
    assert 'service="api"' in daemon.get(only(objects, "ServiceMonitor")["spec"]["endpoints"][0]["path"]).text
    for component in ("vault", "database", "authentication", "websocket"):
        assert daemon.component(component)["reason"] != "not_configured"


def test_it_has_stopped_before_it_is_killed(objects):
    """It drains, then gives open requests and workers 10 s (the default of shutdown.timeout); the kubelet waits 30 s by default."""
    drain = int(yaml.safe_load(config_of(objects)).get("shutdown", {"drain": "0s"})["drain"].removesuffix("s"))
    assert drain + 10 < skymon_of(objects)[0]["spec"].get("terminationGracePeriodSeconds", 30)


def test_the_operators_rules_are_those_of_prometheus(helm):
    groups = [group for path in sorted((SOURCE / "etc/prometheus/rules").iterdir()) for group in yaml.safe_load(path.read_text())["groups"]]
    for objects in (kustomized(BASE), helm(EVERYTHING)):
        assert len(groups) > 1 and only(objects, "PrometheusRule")["spec"]["groups"] == groups
