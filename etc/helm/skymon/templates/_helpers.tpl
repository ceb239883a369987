{{- define "skymon.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "skymon.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "skymon.labels" -}}
{{ include "skymon.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "skymon.config" -}}
{{- if .Values.config -}}
{{- toYaml .Values.config -}}
{{- else -}}
{{- .Files.Get "files/skymon.yaml" -}}
{{- end -}}
{{- end -}}

{{- /* The container, for the pods of this chart or of the one that has it as a sidecar. */ -}}
{{- define "skymon.container" -}}
- name: skymon
  image: "{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}"
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: ["skymond", "-c", "/etc/skymon/skymon.yaml"]
  env:
    - name: STATE_DIRECTORY
      value: /var/lib/skymon
    {{- range $name, $value := .Values.addresses }}
    - name: {{ $name }}
      value: {{ $value | quote }}
    {{- end }}
  ports:
    - name: skymon
      containerPort: {{ .Values.service.port }}
  readinessProbe:
    httpGet:
      path: /api/v1/ready
      port: skymon
    periodSeconds: 10
  livenessProbe:
    httpGet:
      path: /api/v1/alive
      port: skymon
    initialDelaySeconds: 10
    periodSeconds: 30
  resources:
    {{- toYaml .Values.resources | nindent 4 }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities:
      drop: ["ALL"]
    seccompProfile:
      type: RuntimeDefault
  volumeMounts:
    - name: skymon-config
      mountPath: /etc/skymon
      readOnly: true
    - name: skymon-state
      mountPath: /var/lib/skymon
    {{- if .Values.secrets.existingSecret }}
    - name: skymon-secrets
      mountPath: {{ .Values.secrets.mountPath }}
      readOnly: true
    {{- end }}
{{- end -}}

{{- define "skymon.volumes" -}}
- name: skymon-config
  configMap:
    name: {{ include "skymon.fullname" . }}
- name: skymon-state
  emptyDir:
    sizeLimit: 64Mi
{{- if .Values.secrets.existingSecret }}
- name: skymon-secrets
  secret:
    secretName: {{ .Values.secrets.existingSecret }}
    defaultMode: 0440
{{- end }}
{{- end -}}
