{{- define "type" -}}
{{- $type := . -}}
{{- if markdownShouldRenderType $type }}
### {{ $type.Name }}

{{ $type.Doc }}
{{ if $type.IsAlias }}
Type: {{ markdownRenderTypeLink $type.UnderlyingType }}
{{ end }}
{{- if $type.References }}
Used in: {{ range $i, $r := $type.SortedReferences }}{{ if $i }}, {{ end }}{{ markdownRenderTypeLink $r }}{{ end }}
{{ end }}
{{- if $type.Validation }}
Rules:
{{ range $type.Validation }}
- {{ trimSuffix ": {}" . }}
{{- end }}
{{ end }}
{{- if $type.Members }}
| Field | Description | Default | Rules |
| --- | --- | --- | --- |
{{ if $type.GVK -}}
| `apiVersion` _string_ | `{{ $type.GVK.Group }}/{{ $type.GVK.Version }}` | | |
| `kind` _string_ | `{{ $type.GVK.Kind }}` | | |
{{ end -}}
{{ range $type.Members -}}
| `{{ .Name }}` _{{ markdownRenderType .Type }}_ | {{ template "type_members" . }} | {{ if .Default }}`{{ .Default }}`{{ end }} | {{ range $i, $v := .Validation }}{{ if $i }}<br />{{ end }}{{ trimSuffix ": {}" $v | markdownRenderFieldDoc }}{{ end }} |
{{ end -}}
{{ end -}}
{{ if $type.EnumValues }}
| Value | Description |
| --- | --- |
{{ range $type.EnumValues -}}
| `{{ .Name }}` | {{ .Doc | trim | replace "\n" " " | markdownRenderFieldDoc }} |
{{ end -}}
{{ end -}}
{{- end -}}
{{- end -}}
