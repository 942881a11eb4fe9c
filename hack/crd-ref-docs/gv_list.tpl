{{- define "gvList" -}}
# API reference

<!-- Generated from the comments in api/ by `make manifests`. Edit them there. -->
{{ range . }}
{{ template "gvDetails" . }}
{{- end }}
{{- end -}}
