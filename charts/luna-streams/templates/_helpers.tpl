{{/* Name of the chart in labels. */}}
{{- define "luna-streams.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Prefix of object names; leaves room for "-operator". No dots: a Service must not have any, a release may. */}}
{{- define "luna-streams.fullname" -}}
{{- $name := include "luna-streams.name" . }}
{{- $prefix := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) }}
{{- .Values.fullnameOverride | default $prefix | replace "." "-" | trunc 50 | trimSuffix "-" }}
{{- end }}

{{/* Prefix of names of objects without a namespace: releases of different namespaces may have one name. */}}
{{- define "luna-streams.clusterwideName" -}}
{{- printf "%s-%s" .Release.Namespace (include "luna-streams.fullname" .) }}
{{- end }}

{{/* Name of an object that is a ClusterRole or its binding with allNamespaces, else a Role; takes (dict "root" $ "component" "shim"). */}}
{{- define "luna-streams.scopedName" -}}
{{- include (ternary "luna-streams.clusterwideName" "luna-streams.fullname" .root.Values.allNamespaces) .root }}-{{ .component }}
{{- end }}

{{/* Role or ClusterRole, by what the release serves. */}}
{{- define "luna-streams.scope" -}}
{{- if .Values.allNamespaces }}Cluster{{ end }}
{{- end }}

{{/* Labels of every object; takes (dict "root" $ "component" "shim"), and "more" for labels that go before the common ones. */}}
{{- define "luna-streams.labels" -}}
{{ include "luna-streams.selector" . }}
app.kubernetes.io/part-of: luna-streams
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with merge (dict) (.more | default dict) (.root.Values.commonLabels | default dict) }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Labels that choose the pods of a component; they never change. */}}
{{- define "luna-streams.selector" -}}
app.kubernetes.io/name: {{ include "luna-streams.name" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* Labels that choose processor pods: the operator puts them there (luna_operator.manifests.pod_labels). */}}
{{- define "luna-streams.processorSelector" -}}
app.kubernetes.io/name: luna-streams
app.kubernetes.io/component: processor
app.kubernetes.io/managed-by: luna-operator
{{- end }}

{{/* An image; takes (dict "root" $ "image" .Values.shim.image). */}}
{{- define "luna-streams.image" -}}
{{- with .root.Values.global.imageRegistry }}{{ trimSuffix "/" . }}/{{ end }}{{ .image.repository }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- with .image.digest }}@{{ . }}{{ end }}
{{- end }}

{{/* Names of the Secrets with which images are pulled, as a JSON list without repetitions. */}}
{{- define "luna-streams.pullSecrets" -}}
{{- $names := list }}
{{- range concat .Values.global.imagePullSecrets .Values.imagePullSecrets }}
{{- $names = append $names .name }}
{{- end }}
{{- $names | uniq | toJson }}
{{- end }}

{{/* Name of a component's ServiceAccount; takes (dict "root" $ "component" "shim"). */}}
{{- define "luna-streams.serviceAccountName" -}}
{{- $own := printf "%s-%s" (include "luna-streams.fullname" .root) .component }}
{{- /* Pods of other namespaces cannot use the release's. */}}
{{- if and (eq .component "processor") .root.Values.allNamespaces }}{{ $own = "default" }}{{ end }}
{{- default $own (index .root.Values .component).serviceAccountName }}
{{- end }}

{{/* Origin of the REST API inside the cluster. */}}
{{- define "luna-streams.shimOrigin" -}}
http://{{ include "luna-streams.fullname" . }}-shim.{{ .Release.Namespace }}.svc:{{ .Values.shim.service.port }}
{{- end }}

{{/* What Pod Security "restricted" asks of a container, and a read-only root. */}}
{{- define "luna-streams.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* What the pods of operator and shim have in common; takes (dict "root" $ "component" "shim"). */}}
{{- define "luna-streams.podCommon" -}}
{{- $values := index .root.Values .component -}}
serviceAccountName: {{ include "luna-streams.serviceAccountName" . | quote }}
automountServiceAccountToken: true
# A Service called luna-shim or luna-operator would set variables that the settings refuse as unknown.
enableServiceLinks: false
{{- with $values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds }}
{{- include "luna-streams.imagePullSecrets" .root }}
securityContext: {{- toYaml .root.Values.podSecurityContext | nindent 2 }}
{{- with $values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
{{- with $values.topologySpreadConstraints }}
{{- toYaml . | nindent 2 }}
{{- else }}
  # Two replicas on one node are no two: never, if another node that works has room. One node alone may have all.
  - topologyKey: kubernetes.io/hostname
    maxSkew: 1
    whenUnsatisfiable: DoNotSchedule
    nodeTaintsPolicy: Honor # a lost node does not count
    labelSelector:
      matchLabels: {{- include "luna-streams.selector" $ | nindent 8 }}
    matchLabelKeys: [pod-template-hash] # pods that are about to be replaced do not count
  - topologyKey: topology.kubernetes.io/zone
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "luna-streams.selector" $ | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end }}

{{/* The pull secrets of a pod, if there are any, with a line break before. */}}
{{- define "luna-streams.imagePullSecrets" -}}
{{- with include "luna-streams.pullSecrets" . | fromJsonArray }}
imagePullSecrets:
{{- range . }}
  - name: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* Further variables of a component, in the order of their names; takes .Values.shim. */}}
{{- define "luna-streams.env" -}}
{{- range $name, $value := .env }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- with .extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Names of the variables that values give a component, as a JSON list; takes .Values.shim. */}}
{{- define "luna-streams.givenVariables" -}}
{{- $names := keys (.env | default dict) | sortAlpha }}
{{- range .extraEnv }}
{{- $names = append $names .name }}
{{- end }}
{{- $names | toJson }}
{{- end }}

{{/* Variables that the chart sets itself, or whose values its probes, Services and rights rely on. */}}
{{- define "luna-streams.ownVariables" -}}
operator: [STREAMS_ORIGIN, NAMESPACE, LEASE_NAMESPACE, LEASE_NAME, POD_NAME, POD_UID, PROCESSOR_IMAGE, PROCESSOR_PULL_POLICY,
  {{- if include "luna-streams.pullSecrets" . | fromJsonArray }} PROCESSOR_PULL_SECRETS, {{- end }}
  {{- if .Values.platform.origin }} PLATFORM_ORIGIN, PLATFORM_API_VERSION, {{- end }}
  PROCESSOR_SERVICE_ACCOUNT, HTTP_HOST, HTTP_PORT]
shim: [HOST, PORT, ADVERTISED_HOST, REPLICA, NAMESPACE, ALL_NAMESPACES, SHUTDOWN_DELAY, LEASE_NAMESPACE, LEASE_NAME,
  {{- if .Values.shim.log.databaseSecret }} DATABASE_URL, {{- end }}
  DATA_FOLDER]
{{- end }}

{{/* Not empty if the log is kept in a database: its URL comes from a Secret, or as a variable. */}}
{{- define "luna-streams.hasDatabase" -}}
{{- if or .Values.shim.log.databaseSecret (has "LUNA_SHIM_DATABASE_URL" (include "luna-streams.givenVariables" .Values.shim | fromJsonArray)) }}yes{{ end }}
{{- end }}

{{/* Values that contradict each other end the rendering with a sentence. */}}
{{- define "luna-streams.validate" -}}
{{- range list "global" "crds" "platform" "operator" "shim" "processor" "rbac" "networkPolicy" "metrics" }}
{{- if not (kindIs "map" (index $.Values .)) }}
{{- fail "values of this version are missing: `helm upgrade --reuse-values` leaves out what a new version added; use --reset-then-reuse-values" }}
{{- end }}
{{- end }}
{{- if not (regexMatch "^[a-z]" (include "luna-streams.fullname" .)) }}
{{- fail (printf "the name of a Service must begin with a letter, and %s-shim does not: set fullnameOverride" (include "luna-streams.fullname" .)) }}
{{- end }}
{{- if and .Values.shim.log.volumeClaim .Values.shim.log.databaseSecret }}
{{- fail "shim.log.volumeClaim and shim.log.databaseSecret exclude each other: the log is kept in a file or in a database" }}
{{- end }}
{{- if and .Values.shim.log.volumeClaim (gt (int .Values.shim.replicas) 1) }}
{{- fail "shim.log.volumeClaim keeps the file of one replica: with several, set shim.log.databaseSecret" }}
{{- end }}
{{- if and .Values.shim.ingress.enabled (not .Values.shim.ingress.hosts) }}
{{- fail "shim.ingress.enabled needs shim.ingress.hosts: which host names lead to the REST API?" }}
{{- end }}
{{- if and .Values.shim.httpRoute.enabled (not .Values.shim.httpRoute.parentRefs) }}
{{- fail "shim.httpRoute.enabled needs shim.httpRoute.parentRefs: which Gateway is it to attach to?" }}
{{- end }}
{{- range $component, $own := include "luna-streams.ownVariables" . | fromYaml }}
{{- $given := include "luna-streams.givenVariables" (index $.Values $component) | fromJsonArray }}
{{- range $own }}
{{- $name := printf "LUNA_%s_%s" (upper $component) . }}
{{- if has $name $given }}
{{- fail (printf "%s.env and %s.extraEnv: %s is set by the chart, leave it out" $component $component $name) }}
{{- end }}
{{- end }}
{{- range $given | uniq }}
{{- if ne (len (without $given .)) (sub (len $given) 1 | int) }}
{{- fail (printf "%s is set twice: in %s.env and in %s.extraEnv" . $component $component) }}
{{- end }}
{{- end }}
{{- end }}
{{- $alerts := list }}
{{- range (.Files.Get "files/alerts.yaml" | fromYaml).alerts }}
{{- $alerts = append $alerts .alert }}
{{- end }}
{{- range .Values.metrics.rules.disabled }}
{{- if not (has . $alerts) }}
{{- fail (printf "metrics.rules.disabled: there is no alert %s" .) }}
{{- end }}
{{- end }}
{{- if ge (int .Values.shim.shutdownDelaySeconds) (int .Values.shim.terminationGracePeriodSeconds) }}
{{- fail "shim.shutdownDelaySeconds must be less than shim.terminationGracePeriodSeconds, which it is part of" }}
{{- end }}
{{- end }}

{{/* Egress rule: resolve names. */}}
{{- define "luna-streams.egressDns" -}}
- ports:
    {{- range required "networkPolicy.dns.ports is null, which would allow all of them" .Values.networkPolicy.dns.ports }}
    - {protocol: UDP, port: {{ . }}}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
  {{- with .Values.networkPolicy.dns.to }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{/* Egress rule: speak to the API server. */}}
{{- define "luna-streams.egressApiServer" -}}
- ports: {{- include "luna-streams.policyPorts" .Values.networkPolicy.apiServer.ports | nindent 4 }}
  {{- with .Values.networkPolicy.apiServer.cidrs }}
  to:
    {{- range . }}
    - ipBlock: {cidr: {{ . | quote }}}
    {{- end }}
  {{- end }}
{{- end }}

{{/* TCP ports of a NetworkPolicy's rule; takes a list of numbers. */}}
{{- define "luna-streams.policyPorts" -}}
{{- range $index, $port := required "networkPolicy: a list of ports is null, which would allow all of them" . }}
{{- if $index }}
{{ end -}}
- {protocol: TCP, port: {{ $port }}}
{{- end }}
{{- end }}

{{/* Peer: the pods of a component; takes (dict "root" $ "component" "shim"). */}}
{{- define "luna-streams.peer" -}}
- podSelector:
    matchLabels: {{- include "luna-streams.selector" . | nindent 6 }}
{{- end }}

{{/* Peer of processors: the shim; its namespace is named where they are in others too, so that the policy can be copied there. */}}
{{- define "luna-streams.shimPeer" -}}
{{- include "luna-streams.peer" (dict "root" . "component" "shim") }}
  {{- if .Values.allNamespaces }}
  namespaceSelector:
    matchLabels: {kubernetes.io/metadata.name: {{ .Release.Namespace | quote }}}
  {{- end }}
{{- end }}

{{/* Peer: processor pods, of all namespaces if the release serves them. */}}
{{- define "luna-streams.processorPeer" -}}
- podSelector:
    matchLabels: {{- include "luna-streams.processorSelector" . | nindent 6 }}
  {{- if .Values.allNamespaces }}
  namespaceSelector: {}
  {{- end }}
{{- end }}

{{/* Peers that read metrics, as a JSON list: nobody knows where a Prometheus that the monitors are made for runs. */}}
{{- define "luna-streams.metricsFrom" -}}
{{- $anybody := list (dict "namespaceSelector" dict) }}
{{- .Values.networkPolicy.metricsFrom | default (ternary $anybody list .Values.metrics.monitors.enabled) | toJson }}
{{- end }}

{{/* What tells the release's series from those of others; takes the root. */}}
{{- define "luna-streams.metricsRelease" -}}
{{- .Release.Namespace }}/{{ include "luna-streams.fullname" . }}
{{- end }}

{{/* How a monitor's endpoint is scraped; takes the root. */}}
{{- define "luna-streams.scrape" -}}
path: /metrics
{{- with .Values.metrics.monitors.interval }}
interval: {{ . }}
{{- end }}
{{- with .Values.metrics.monitors.scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
# The operator's series name the namespace of the pool, which Prometheus would replace by that of the operator.
honorLabels: true
relabelings:
  - action: replace
    targetLabel: luna_release
    replacement: {{ include "luna-streams.metricsRelease" . }}
{{- end }}

{{/* Annotations of what exists only while Helm installs, upgrades or tests; takes (dict "events" "test" "weight" 0). */}}
{{- define "luna-streams.hook" -}}
helm.sh/hook: {{ .events }}
helm.sh/hook-weight: {{ .weight | quote }}
# Also after a failure: Helm would leave it behind for ever. What a pod said then is shown by Helm (3.18 and newer).
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded,hook-failed
{{- end }}
