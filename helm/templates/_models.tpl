{{- /* The models of the release as a JSON list. Each is the chart's values with the entry of `models` laid over them, and
       component  what tells its pods from those of other models
       fullname   the name of its resources
       path       where the Ingress serves it */ -}}
{{- define "multi2vec.models" -}}
{{- $root := . -}}
{{- $several := gt (len .Values.models) 1 -}}
{{- $unnamed := list -}}
{{- range .Values.models -}}
{{- if not .name -}}{{- $unnamed = append $unnamed .tag -}}{{- end -}}
{{- end -}}
{{- $models := list -}}
{{- range $entry := .Values.models -}}
{{- $model := deepCopy (omit $root.Values "models" "global" "ingress" "networkPolicy" "serviceMonitor" "serviceAccount") -}}
{{- include "multi2vec.merge" (dict "dst" $model "src" $entry) -}}
{{- $slug := $entry.name -}}
{{- if and (not $slug) (gt (len $unnamed) 1) -}}{{- $slug = include "multi2vec.slug" $entry.tag -}}{{- end -}}
{{- $fullname := include "multi2vec.fullname" $root -}}
{{- $path := "/" -}}
{{- if $slug -}}
{{- $fullname = include "multi2vec.short" (printf "%s-%s" $fullname $slug) -}}
{{- if and $several $root.Values.ingress.enabled -}}{{- $path = printf "/%s" $slug -}}{{- end -}}
{{- end -}}
{{- $_ := set $model "component" (default "model" $slug) -}}
{{- $_ := set $model "fullname" $fullname -}}
{{- $_ := set $model "path" (default $path $entry.ingressPath) -}}
{{- $models = append $models $model -}}
{{- end -}}
{{- toJson $models -}}
{{- end -}}

{{- /* Lays src over dst, in place, as Helm lays values files over each other: maps merge, lists replace, null removes,
       and false, 0 and "" are values like others. sprig's mergeOverwrite would leave a null in the map. */ -}}
{{- define "multi2vec.merge" -}}
{{- $dst := .dst -}}
{{- range $key, $value := .src -}}
{{- $old := get $dst $key -}}
{{- if kindIs "invalid" $value -}}
{{- $_ := unset $dst $key -}}
{{- else if and (kindIs "map" $value) (kindIs "map" $old) -}}
{{- include "multi2vec.merge" (dict "dst" $old "src" $value) -}}
{{- else -}}
{{- $_ := set $dst $key $value -}}
{{- end -}}
{{- end -}}
{{- end -}}
