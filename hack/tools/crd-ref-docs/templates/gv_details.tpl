{{- define "gvDetails" -}}
## {{ .GroupVersionString }}

{{ .Doc | replace "<" "&lt;" }}
{{ range .SortedTypes }}
{{- template "type" . }}
{{- end }}
{{- end -}}
