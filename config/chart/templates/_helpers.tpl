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
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "mongolock.labels" -}}
{{ include "mongolock.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "mongolock.metricsService" -}}
{{ include "mongolock.prefix" . }}-controller-manager-metrics-service
{{- end }}

{{/* The Secret with the certificate of the metrics endpoint; nothing if each replica signs its own. */}}
{{- define "mongolock.certificate" -}}
{{- with .Values.metrics.certificate }}
{{- if and .certManager .existingSecret }}
{{- fail "metrics.certificate has both certManager and existingSecret: only one can make the certificate" }}
{{- else if and (or .certManager .existingSecret) (not (and $.Values.metrics.enabled $.Values.metrics.secure)) }}
{{- fail "metrics.certificate needs metrics.enabled and metrics.secure: there would be nothing to use it for" }}
{{- end }}
{{- .certManager | ternary (printf "%s-metrics-certificate" (include "mongolock.prefix" $)) .existingSecret }}
{{- end }}
{{- end }}
