{{- define "type_members" -}}
{{- if eq .Name "metadata" -}}
as in every object
{{- else -}}
{{ .Doc | replace "\n" " " | replace "<" "&lt;" | replace "|" "\\|" }}
{{- end -}}
{{- end -}}
