{{- /* The pieces of a pod. Each takes one model. */ -}}

{{- define "multi2vec.env" -}}
{{- $env := dict
  "DRAIN_SECONDS" .drain.seconds
  "MAX_REQUESTS_PER_CONNECTION" .maxRequestsPerConnection
  "SHUTDOWN_GRACE" .drain.graceSeconds -}}
{{- if ne .path "/" -}}{{- $_ := set $env "URL_PREFIX" .path -}}{{- end -}}
{{- with .accelerator.kind -}}{{- $_ := set $env "DEVICE" (upper .) -}}{{- end -}}
{{- include "multi2vec.merge" (dict "dst" $env "src" .env) -}}
{{- range $name, $value := $env }}
- name: {{ $name }}
  value: {{ include "multi2vec.text" $value | quote }}
{{- end }}
{{- with .extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* JSON writes large numbers out, where a template would write 1.34217728e+08. */ -}}
{{- define "multi2vec.text" -}}
{{- kindIs "string" . | ternary . (toJson .) -}}
{{- end -}}

{{- define "multi2vec.resources" -}}
{{- $resources := deepCopy .resources -}}
{{- if .accelerator.kind -}}
{{- $default := eq .accelerator.kind "gpu" | ternary "gpu.intel.com/i915" "npu.intel.com/accel" -}}
{{- $device := dict (default $default .accelerator.resource) .accelerator.count -}}
{{- include "multi2vec.merge" (dict "dst" $resources "src" (dict "requests" $device "limits" (deepCopy $device))) -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}

{{- define "multi2vec.podSecurityContext" -}}
{{- $context := deepCopy .podSecurityContext -}}
{{- with .accelerator.supplementalGroups -}}{{- $_ := set $context "supplementalGroups" . -}}{{- end -}}
{{- toYaml $context -}}
{{- end -}}

{{- define "multi2vec.probes" -}}
startupProbe:
  httpGet: {path: /.well-known/ready, port: http}
  {{- toYaml .probes.startup | nindent 2 }}
readinessProbe:
  httpGet: {path: /.well-known/ready, port: http}
  {{- toYaml .probes.readiness | nindent 2 }}
livenessProbe:
  httpGet: {path: /.well-known/live, port: http}
  {{- toYaml .probes.liveness | nindent 2 }}
{{- end -}}

{{- /* Spreads the pods of one rollout; those that are on their way out do not count. */ -}}
{{- define "multi2vec.topologySpread" -}}
{{- $selector := dict "matchLabels" (include "multi2vec.selector" . | fromYaml) -}}
{{- $constraints := list -}}
{{- range .model.topologySpreadConstraints -}}
{{- $constraint := deepCopy . -}}
{{- if not (hasKey . "labelSelector") -}}
{{- $_ := set $constraint "labelSelector" $selector -}}
{{- $_ := set $constraint "matchLabelKeys" (default (list "pod-template-hash") .matchLabelKeys) -}}
{{- end -}}
{{- $constraints = append $constraints $constraint -}}
{{- end -}}
{{- toYaml $constraints -}}
{{- end -}}

{{- define "multi2vec.strategy" -}}
{{- eq .strategy.type "RollingUpdate" | ternary .strategy (dict "type" .strategy.type) | toYaml -}}
{{- end -}}

{{- /* The longest way out: preStop, drain, requests in flight, and 3 s to end the process. */ -}}
{{- define "multi2vec.terminationGracePeriod" -}}
{{- add 3 (ceil (addf .drain.preStopSeconds .drain.seconds .drain.graceSeconds) | int) -}}
{{- end -}}
