{{/* A replica, the same under a Deployment and under a StatefulSet. */}}
{{- define "binauthz.pod" -}}
metadata:
  labels: {{- include "binauthz.labels" . | nindent 4 }}
  annotations:
    # The configuration is read at the start.
    checksum/config: {{ include (print $.Template.BasePath "/configmap.yaml") . | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "binauthz.name" . }}
  automountServiceAccountToken: {{ or .Values.guard.enabled (ne .Values.webhookSecret "") }}
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    seccompProfile: {type: RuntimeDefault}
    fsGroupChangePolicy: OnRootMismatch
    {{- toYaml .Values.podSecurityContext | nindent 4 }}
  topologySpreadConstraints:
    - topologyKey: kubernetes.io/hostname
      maxSkew: 1
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels: {{- include "binauthz.selector" . | nindent 10 }}
    - topologyKey: topology.kubernetes.io/zone
      maxSkew: 1
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels: {{- include "binauthz.selector" . | nindent 10 }}
  {{- with .Values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: binauthz
      image: {{ include "binauthz.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args:
        - serve
        - --data-dir=/var/lib/binauthz/data
        - --config=/etc/binauthz/config/binauthz.yaml
        {{- range .Values.extraArgs }}
        - {{ . | quote }}
        {{- end }}
      {{- if or (eq .Values.store.kind "postgresql") .Values.extraEnv }}
      env:
        {{- if eq .Values.store.kind "postgresql" }}
        - name: BINAUTHZ_STORE
          valueFrom:
            secretKeyRef:
              name: {{ .Values.store.postgresql.urlSecret.name }}
              key: {{ .Values.store.postgresql.urlSecret.key }}
        {{- end }}
        {{- with .Values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
      ports:
        - {name: api, containerPort: 8787}
        - {name: webhook, containerPort: 8443}
        - {name: health, containerPort: 8788}
      startupProbe:
        httpGet: {path: /livez, port: health, scheme: HTTPS}
        periodSeconds: 2
        failureThreshold: 60
      livenessProbe:
        httpGet: {path: /livez, port: health, scheme: HTTPS}
        timeoutSeconds: 5
        periodSeconds: 10
        failureThreshold: 6
      readinessProbe:
        httpGet: {path: /readyz, port: health, scheme: HTTPS}
        timeoutSeconds: 5
        periodSeconds: 5
        failureThreshold: 3
      lifecycle:
        preStop:
          # Until then somebody may still send requests here.
          sleep: {seconds: 10}
      resources: {{- toYaml .Values.resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      volumeMounts:
        - {name: data, mountPath: /var/lib/binauthz}
        # SQLite sorts what does not fit into memory there.
        - {name: tmp, mountPath: /tmp}
        - {name: config, mountPath: /etc/binauthz/config, readOnly: true}
        - {name: credentials, mountPath: /etc/binauthz/credentials, readOnly: true}
        {{- if eq .Values.store.kind "postgresql" }}
        - {name: database, mountPath: /etc/binauthz/database, readOnly: true}
        {{- end }}
        {{- if .Values.webhookCertificateSecret }}
        - {name: webhook, mountPath: /etc/binauthz/webhook, readOnly: true}
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    {{- if eq .Values.store.kind "sqlite" }}
    - name: data
      persistentVolumeClaim:
        claimName: {{ .Values.store.sqlite.existingClaim | default (include "binauthz.name" .) }}
    {{- end }}
    - name: tmp
      emptyDir: {sizeLimit: 1Gi}
    - name: config
      configMap: {name: {{ include "binauthz.name" . }}}
    - name: credentials
      secret:
        secretName: {{ .Values.credentialsSecret }}
        # 0440
        defaultMode: 288
    {{- if eq .Values.store.kind "postgresql" }}
    - name: database
      secret:
        secretName: {{ .Values.store.postgresql.urlSecret.name }}
        defaultMode: 288
    {{- end }}
    {{- with .Values.webhookCertificateSecret }}
    - name: webhook
      secret: {secretName: {{ . }}, defaultMode: 288}
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}
