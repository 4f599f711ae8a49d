{{- define "gvList" -}}
<!-- Made by "make api-docs" from the comments in api/. Do not edit. -->
# API reference

What each field means, as `kubectl explain` has it too. How it all works is on the page [DistributedLock](distributedlock.md).
{{ range . }}
{{ template "gvDetails" . }}
{{- end }}
{{- end -}}
