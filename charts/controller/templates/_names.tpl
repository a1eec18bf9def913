{{- define "alma.name" -}}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{- end -}}
{{- define "alma.selector" -}}
app.kubernetes.io/name: alma-controller
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}
{{- define "alma.labels" -}}
{{ include "alma.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}
{{- define "alma.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- define "alma.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $_ := set $config "server" (dict "listen" "0.0.0.0:8420" "metrics_listen" "0.0.0.0:9420") -}}
{{- if .Values.keySecretName }}{{ $_ := set $config "key_file" "/etc/alma-key/key" }}{{ end -}}
{{- if .Values.target -}}
{{- $users := dict -}}
{{- range .Values.scopes }}{{ $_ := set $users .name (printf "%s/%s-%s" $.Release.Namespace (include "alma.name" $) .name) }}{{ end -}}
{{- $here := dict "engine" "kubernetes" "in_cluster" true "namespace" .Release.Namespace "impersonate" $users -}}
{{- $_ := set $config "targets" (merge (dict .Values.target $here) (.Values.config.targets | default dict)) -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}
