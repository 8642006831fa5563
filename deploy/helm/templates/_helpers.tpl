{{- define "striate.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-{{ .Chart.Name }}{{ end -}}
{{- end }}

{{- define "striate.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "striate.metadata" -}}
name: {{ include "striate.name" . }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "striate.selector" . | nindent 2 }}
  app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
  app.kubernetes.io/managed-by: {{ .Release.Service }}
  helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "striate.image" -}}
{{- $tag := printf "%s%s" .Chart.AppVersion (ternary "-gpu" "" (gt (int .Values.gpu.count) 0)) -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default $tag }}
{{- end }}

{{- define "striate.unprivileged" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* What can't be served safely, or means two things, ends the rendering with a sentence. */}}
{{- define "striate.check" -}}
{{- if and (not .Values.keys.secret) (ne (get .Values.settings "STRIATE_WITHOUT_KEYS" | default "") "anywhere") }}
{{- fail "Anybody in the cluster could ask. Name a Secret in keys.secret, or say settings.STRIATE_WITHOUT_KEYS=anywhere where something else keeps the door." }}
{{- end }}
{{- if and .Values.models.claim .Values.models.store.remote }}
{{- fail "models.claim and models.store.remote both say where the models are: give one." }}
{{- end }}
{{- if and .Values.models.writable (not .Values.models.claim) }}
{{- fail "models.writable needs models.claim: what one pod writes into a copy of its own, no other follows." }}
{{- end }}
{{- if and .Values.monitor.enabled .Values.keys.secret (not .Values.monitor.key.secret) }}
{{- fail "With keys, /metrics asks for one: name the Secret that holds it in monitor.key.secret." }}
{{- end }}
{{- end }}
