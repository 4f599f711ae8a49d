{{- define "type" -}}
{{- $type := . -}}
{{- if markdownShouldRenderType $type }}
### {{ $type.Name }}

{{ $type.Doc | replace "<" "&lt;" }}
{{ if $type.IsAlias }}
It is a {{ markdownRenderTypeLink $type.UnderlyingType }}{{ range $type.Validation }}{{ template "rule" . }}{{ end }}.
{{ end -}}
{{ if $type.References }}
Used by:{{ range $i, $reference := $type.SortedReferences }}{{ if $i }},{{ end }} {{ markdownRenderTypeLink $reference }}{{ end }}
{{ end -}}
{{ if $type.Members }}
| field | type | meaning | bounds |
|---|---|---|---|
{{ if $type.GVK -}}
| `apiVersion` | string | `{{ $type.GVK.Group }}/{{ $type.GVK.Version }}` | |
| `kind` | string | `{{ $type.GVK.Kind }}` | |
{{ end -}}
{{ range $type.Members -}}
| `{{ .Name }}` | {{ markdownRenderType .Type }} | {{ template "type_members" . }} | {{ template "bounds" . }} |
{{ end -}}
{{ end -}}
{{ if $type.EnumValues }}
| value | meaning |
|---|---|
{{ range $type.EnumValues -}}
| `{{ .Name }}` | {{ .Doc | replace "\n" " " | replace "<" "&lt;" | trim }} |
{{ end -}}
{{ end -}}
{{- end -}}
{{- end -}}

{{- define "rule" }}, {{ . }}{{ end -}}

{{- define "bounds" -}}
{{- $rules := list -}}
{{- if .Default }}{{ $rules = append $rules (printf "default `%s`" .Default) }}{{ end -}}
{{- range .Validation }}
{{- if eq . "Required: {}" }}{{ $rules = append $rules "required" -}}
{{- else if and (ne . "Optional: {}") (not (hasPrefix "Type: " .)) }}{{ $rules = append $rules (. | replace "|" "\\|") -}}
{{- end -}}
{{- end -}}
{{- $rules | join ", " -}}
{{- end -}}
