{{- /* What a schema cannot say. One sentence each, with the value to change. */ -}}
{{- define "multi2vec.checks" -}}
{{- $root := .root -}}
{{- $components := dict -}}{{- $names := dict -}}{{- $paths := dict -}}
{{- range .models -}}
{{- if or (hasKey $components .component) (hasKey $names .fullname) -}}
{{- fail (printf "models: two entries would be called %s; give them different names (models[].name)." .fullname) -}}
{{- end -}}
{{- $_ := set $components .component true -}}{{- $_ := set $names .fullname true -}}
{{- if and $root.Values.ingress.enabled (hasKey $paths .path) -}}
{{- fail (printf "models: two entries would share the Ingress path %s; set models[].ingressPath." .path) -}}
{{- end -}}
{{- $_ := set $paths .path true -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" .fullname) -}}
{{- fail (printf "%q cannot be the name of a Service: set fullnameOverride to lower-case letters, digits and dashes that begin with a letter." .fullname) -}}
{{- end -}}
{{- if and .autoscaling.enabled .keda.enabled -}}
{{- fail (printf "%s: autoscaling and keda are both enabled; choose one of them." .fullname) -}}
{{- end -}}
{{- include "multi2vec.checkScaling" . -}}
{{- include "multi2vec.checkEnv" . -}}
{{- end -}}
{{- if and (gt (len .models) 1) $root.Values.image.digest -}}
{{- fail "image.digest pins one image, and there are several models: set models[].image.digest instead." -}}
{{- end -}}
{{- end -}}

{{- define "multi2vec.checkScaling" -}}
{{- $fullname := .fullname -}}
{{- $requests := default dict .resources.requests -}}
{{- $limits := default dict .resources.limits -}}
{{- range $key := list "autoscaling" "keda" -}}
{{- $scaling := get $ $key -}}
{{- if $scaling.enabled -}}
{{- if lt (int $scaling.maxReplicas) (int $scaling.minReplicas) -}}
{{- fail (printf "%s: %s.maxReplicas is below %s.minReplicas." $fullname $key $key) -}}
{{- end -}}
{{- if and $scaling.cpuUtilization (not (or $requests.cpu $limits.cpu)) -}}
{{- fail (printf "%s: %s.cpuUtilization is a share of resources.requests.cpu, which is not set." $fullname $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .autoscaling.enabled (not (or .autoscaling.cpuUtilization .autoscaling.queueItems)) -}}
{{- fail (printf "%s: autoscaling needs cpuUtilization or queueItems." $fullname) -}}
{{- end -}}
{{- if and .keda.enabled (not (or .keda.cpuUtilization .keda.prometheus.serverAddress .keda.triggers)) -}}
{{- fail (printf "%s: keda needs prometheus.serverAddress, cpuUtilization or triggers." $fullname) -}}
{{- end -}}
{{- end -}}

{{- /* The chart sets these to what its probes, ports and grace period are computed from. */ -}}
{{- define "multi2vec.checkEnv" -}}
{{- $fullname := .fullname -}}
{{- $instead := dict
  "PORT" "service.port"
  "URL_PREFIX" "models[].ingressPath"
  "DRAIN_SECONDS" "drain.seconds"
  "SHUTDOWN_GRACE" "drain.graceSeconds"
  "MAX_REQUESTS_PER_CONNECTION" "maxRequestsPerConnection" -}}
{{- $given := keys .env -}}
{{- range .extraEnv -}}{{- $given = append $given .name -}}{{- end -}}
{{- range $given -}}
{{- if hasKey $instead . -}}
{{- fail (printf "%s: the variable %s is set by the chart; use %s." $fullname . (get $instead .)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
