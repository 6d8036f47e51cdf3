{{- /* Names, labels and the image's reference. */ -}}

{{- define "multi2vec.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "multi2vec.fullname" -}}
{{- $name := include "multi2vec.name" . -}}
{{- $full := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{- include "multi2vec.short" (default $full .Values.fullnameOverride) -}}
{{- end -}}

{{- /* 54 and not 63: KEDA puts "keda-hpa-" in front, and switching KEDA on must not rename anything.
       What is cut off lives on in a hash, so that two long names stay two names. */ -}}
{{- define "multi2vec.short" -}}
{{- if gt (len .) 54 -}}
{{- printf "%s-%s" (trunc 45 . | trimSuffix "-") (sha256sum . | trunc 8) -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}

{{- /* A tag as a DNS label. */ -}}
{{- define "multi2vec.slug" -}}
{{- include "multi2vec.short" (regexReplaceAll "[^a-z0-9]+" (lower .) "-" | trimAll "-") -}}
{{- end -}}

{{- define "multi2vec.serviceAccount" -}}
{{- default (.Values.serviceAccount.create | ternary (include "multi2vec.fullname" .) "default") .Values.serviceAccount.name -}}
{{- end -}}

{{- /* What a Deployment and its Service select by. Never the tag: selectors cannot be changed, tags are. */ -}}
{{- define "multi2vec.selector" -}}
app.kubernetes.io/name: {{ include "multi2vec.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .model }}
app.kubernetes.io/component: {{ .component }}
{{- end }}
{{- end -}}

{{- /* Takes root, model (where it is one's resource) and extra labels. */ -}}
{{- define "multi2vec.labels" -}}
{{- with merge (dict) (default dict .extra) .root.Values.commonLabels }}
{{- toYaml . }}
{{ end }}
{{- include "multi2vec.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .model }}
{{ include "multi2vec.tagLabel" . }}
{{- end }}
{{- end -}}

{{- define "multi2vec.tagLabel" -}}
io.github.multi2vec-openvino/tag: {{ .tag | trunc 63 | trimAll "-_." | quote }}
{{- end -}}

{{- define "multi2vec.image" -}}
{{- $tag := .tag -}}
{{- with .image.version -}}{{- $tag = printf "%s-%s" $tag . -}}{{- end -}}
{{- with .image.registry -}}{{- trimSuffix "/" . }}/{{- end -}}
{{- .image.repository }}:{{ $tag -}}
{{- with .image.digest -}}@{{ . }}{{- end -}}
{{- end -}}
