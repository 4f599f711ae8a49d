{{/* What names begin with: the release's name, with the chart's unless it is in there. Room is left for the longest suffix. */}}
{{- define "mongolock.prefix" -}}
{{- $name := .Release.Name }}
{{- if not (contains .Chart.Name $name) }}{{ $name = printf "%s-%s" $name .Chart.Name }}{{ end }}
{{- $name | trunc 27 | trimSuffix "-" }}
{{- end }}

{{/* By which the operator's pods are selected; cannot be changed by an upgrade. */}}
{{- define "mongolock.selector" -}}
control-plane: controller-manager
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "mongolock.labels" -}}
{{ include "mongolock.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}
