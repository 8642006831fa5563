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
{{ .Values.image.repository }}{{ with .Values.image.digest }}@{{ . }}{{ else }}:{{ .Values.image.tag | default $tag }}{{ end }}
{{- end }}

{{- define "striate.unprivileged" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Unsafe or contradictory values stop the rendering with an error message. */}}
{{- define "striate.check" -}}
{{- if and (not .Values.keys.secret) (ne (get .Values.settings "STRIATE_WITHOUT_KEYS" | default "") "anywhere") }}
{{- fail "Anyone in the cluster could call the service. Name a Secret in keys.secret, or set settings.STRIATE_WITHOUT_KEYS=anywhere if something else controls access." }}
{{- end }}
{{- if and .Values.models.claim .Values.models.store.remote }}
{{- fail "models.claim and models.store.remote both define the source of the models: give only one." }}
{{- end }}
{{- if and .Values.models.writable (not .Values.models.claim) }}
{{- fail "models.writable needs models.claim: other pods cannot see changes in a pod's own copy." }}
{{- end }}
{{- if and .Values.monitor.enabled .Values.keys.secret (not .Values.monitor.key.secret) }}
{{- fail "With keys, /metrics needs one too: name the Secret that holds it in monitor.key.secret." }}
{{- end }}
{{- end }}
