{{/* Name of the chart in labels. */}}
{{- define "luna-streams.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Prefix of object names; leaves room for "-operator". */}}
{{- define "luna-streams.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "luna-streams.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "luna-streams.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Labels of every object; takes (dict "root" $ "component" "shim"). */}}
{{- define "luna-streams.labels" -}}
{{ include "luna-streams.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Labels that choose the pods of a component; they never change. */}}
{{- define "luna-streams.selector" -}}
app.kubernetes.io/name: {{ include "luna-streams.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* An image; takes (dict "root" $ "image" .Values.shim.image). */}}
{{- define "luna-streams.image" -}}
{{ .image.repository }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end }}

{{/* What Pod Security "restricted" asks of a pod. */}}
{{- define "luna-streams.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* What Pod Security "restricted" asks of a container, and a read-only root. */}}
{{- define "luna-streams.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Further variables of a component, in the order of their names. */}}
{{- define "luna-streams.env" -}}
{{- range $name, $value := . }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{/* Role or ClusterRole, by what the release serves. */}}
{{- define "luna-streams.scope" -}}
{{- if .Values.allNamespaces }}Cluster{{ end }}
{{- end }}
