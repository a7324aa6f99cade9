{{/* The name of everything. One server to a namespace: its webhook's Service is what `cluster install --service` names. */}}
{{- define "binauthz.name" -}}binauthz{{- end }}

{{- define "binauthz.selector" -}}
app.kubernetes.io/name: binauthz
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "binauthz.labels" -}}
{{ include "binauthz.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "binauthz.replicas" -}}
{{- if .Values.replicas }}{{ .Values.replicas | int }}{{ else if eq .Values.store.kind "sqlite" }}1{{ else }}3{{ end }}
{{- end }}

{{- define "binauthz.image" -}}
{{- $image := .Values.image }}
{{- if $image.digest }}{{ $image.repository }}@{{ $image.digest }}{{ else }}{{ $image.repository }}:{{ $image.tag }}{{ end }}
{{- end }}

{{/* What no schema can say, because it is about two values. */}}
{{- define "binauthz.check" -}}
{{- $replicas := include "binauthz.replicas" . | int }}
{{- if not .Values.image.repository }}
{{- fail "image.repository is missing: name the repository of an image that you built or checked" }}
{{- end }}
{{- if not (or .Values.image.digest .Values.image.tag) }}
{{- fail "image.digest (sha256:…) or image.tag is missing" }}
{{- end }}
{{- if and (eq .Values.store.kind "sqlite") (gt $replicas 1) }}
{{- fail (printf "replicas is %d, and a SQLite file has one server: set store.kind to postgresql, or replicas to 1" $replicas) }}
{{- end }}
{{- if and (eq .Values.store.kind "postgresql") (not .Values.store.postgresql.urlSecret.name) }}
{{- fail "store.postgresql.urlSecret.name is missing: the Secret that holds the address of the database" }}
{{- end }}
{{- if and .Values.guard.enabled (not .Values.clusters) }}
{{- fail "clusters is empty: guard.enabled needs the name of the cluster that the server runs in" }}
{{- end }}
{{- $keeping := .Values.guard.lastKnownGood }}
{{- if and (or $keeping.afterSeconds $keeping.forHours) (not .Values.guard.enabled) }}
{{- fail "guard.lastKnownGood is set without guard.enabled: nobody would keep the list" }}
{{- end }}
{{- $least := add (.Values.guard.everySeconds | default 60) 15 | int }}
{{- if and $keeping.afterSeconds (lt ($keeping.afterSeconds | int) $least) }}
{{- fail (printf "guard.lastKnownGood.afterSeconds is %d, expected %d (guard.everySeconds and 15) at least" ($keeping.afterSeconds | int) $least) }}
{{- end }}
{{- if and .Values.webhookSecret .Values.webhookCertificateSecret }}
{{- fail "webhookSecret and webhookCertificateSecret exclude each other: the server makes the certificates, or others do" }}
{{- end }}
{{- if not .Values.credentialsSecret }}
{{- fail "credentialsSecret is missing: the Secret with admin.token, master.key, authority.key and authority.pem" }}
{{- end }}
{{- end }}
