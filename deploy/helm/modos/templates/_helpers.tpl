{{/* What all names begin with: a Service's has at most 63 letters, no dot, and begins with a letter (before Kubernetes 1.36) */}}
{{- define "modos.name" -}}
{{- $name := regexReplaceAll "^([0-9])" (.Release.Name | replace "." "-") "release-$1" -}}
{{- ternary $name (printf "%s-modos" (trunc 44 $name | trimSuffix "-")) (contains "modos" $name) | trunc 50 | trimSuffix "-" }}
{{- end }}

{{/* The labels that select the pods of a component: (list $ "server") */}}
{{- define "modos.selector" -}}
{{- $root := first . -}}
app.kubernetes.io/name: modos
app.kubernetes.io/instance: {{ $root.Release.Name | quote }}
app.kubernetes.io/component: {{ last . }}
{{- end }}

{{- define "modos.labels" -}}
{{- $root := first . -}}
{{ include "modos.selector" . }}
app.kubernetes.io/part-of: modos
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "modos.metadata" -}}
name: {{ include "modos.name" (first .) }}-{{ last . }}
namespace: {{ (first .).Release.Namespace | quote }}
labels:
  {{- include "modos.labels" . | nindent 2 }}
{{- end }}

{{/* An image by what it is called in the values: (list $ "modos") */}}
{{- define "modos.image" -}}
{{- $root := first . -}}
{{- $image := index $root.Values.images (last .) -}}
{{- $image.repository -}}
{{- with $image.tag | default (ternary $root.Chart.AppVersion "" (eq (last .) "modos")) }}:{{ . }}{{ end }}
{{- with $image.digest }}@{{ . }}{{ end }}
{{- end }}

{{/* What all pods have: no token, no variables of other services, no root */}}
{{- define "modos.pod" -}}
serviceAccountName: {{ include "modos.serviceAccount" . | quote }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .Values.user | int64 }}
  runAsGroup: {{ .Values.user | int64 }}
  fsGroup: {{ .Values.user | int64 }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- end }}

{{/* The replicas of a component on different nodes, where there are: (list $ "server") */}}
{{- define "modos.spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "modos.selector" . | nindent 8 }}
{{- end }}

{{- define "modos.container" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "modos.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "modos.name" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{- define "modos.publicUrl" -}}
{{- .Values.publicUrl | default (ternary "http://localhost:8080" "" .Values.demo.enabled) }}
{{- end }}

{{- define "modos.publicHost" -}}
{{- (urlParse (include "modos.publicUrl" .)).host | splitList ":" | first }}
{{- end }}

{{- define "modos.bucket" -}}
{{- .Values.s3.bucket | default (ternary "modos-demo" "" .Values.demo.enabled) }}
{{- end }}

{{/* HOST:PORT of an S3 that clients reach through the gateway; empty where they reach it themselves */}}
{{- define "modos.internalS3" -}}
{{- if .Values.demo.enabled }}{{ include "modos.name" . }}-s3:9000{{ else }}{{ .Values.s3.internalAddress }}{{ end }}
{{- end }}

{{/* The S3 as the services reach it */}}
{{- define "modos.s3Url" -}}
{{- with include "modos.internalS3" . }}http://{{ . }}{{ else }}{{ .Values.s3.url }}{{ end }}
{{- end }}

{{/* The S3 as clients reach it, which is what is signed for */}}
{{- define "modos.signedS3Url" -}}
{{- if include "modos.internalS3" . }}{{ include "modos.publicUrl" . }}{{ else }}{{ .Values.s3.url }}{{ end }}
{{- end }}

{{/* The port that the gateway listens on. htsget-rs beside it reads an internal S3 at the public address, which over http is the
     gateway itself, as in docker-compose.yml. */}}
{{- define "modos.gatewayPort" -}}
{{- $url := include "modos.publicUrl" . -}}
{{- if and (include "modos.internalS3" .) (hasPrefix "http:" $url) }}{{ include "modos.portOf" (list $url) }}{{ else }}8080{{ end }}
{{- end }}

{{- define "modos.hasRules" -}}
{{- if or .Values.access.rules .Values.access.existingSecret }}yes{{ end }}
{{- end }}

{{/* The volume with the server's keys of S3, as file `credentials` in /etc/modos-s3 */}}
{{- define "modos.s3Volume" -}}
- name: s3-credentials
  secret:
    {{- if .Values.demo.enabled }}
    secretName: {{ include "modos.name" . }}-demo
    items: [{key: server-credentials, path: credentials}]
    {{- else }}
    secretName: {{ .Values.s3.existingSecret | quote }}
    items: [{key: {{ .Values.s3.secretKey | quote }}, path: credentials}]
    {{- end }}
    defaultMode: 0440
{{- end }}

{{/* The volume with the authorities that are trusted, as file `ca.crt` in /etc/modos-cas; nothing where none are given */}}
{{- define "modos.authoritiesVolume" -}}
{{- with .Values.trustedCAs }}
{{- if or .configMap .existingSecret -}}
- name: authorities
  {{- if .configMap }}
  configMap:
    name: {{ .configMap | quote }}
  {{- else }}
  secret:
    secretName: {{ .existingSecret | quote }}
    defaultMode: 0440
  {{- end }}
    items: [{key: {{ .key | quote }}, path: ca.crt}]
{{- end }}
{{- end }}
{{- end }}

{{- define "modos.authoritiesMount" -}}
{{- if include "modos.authoritiesVolume" . -}}
- {name: authorities, mountPath: /etc/modos-cas, readOnly: true}
{{- end }}
{{- end }}

{{/* The access file and what lies beside it, in one volume, whose files change together */}}
{{- define "modos.accessVolume" -}}
- name: access
  projected:
    defaultMode: 0440
    sources:
      {{- if .Values.access.rules }}
      - configMap:
          name: {{ include "modos.name" . }}-access
          items: [{key: access.toml, path: access.toml}]
      {{- end }}
      {{- with .Values.access.existingSecret }}
      - secret:
          name: {{ . | quote }}
          {{- with $.Values.access.keys }}
          items:
            {{- range . }}
            - {key: {{ . | quote }}, path: {{ . | quote }}}
            {{- end }}
          {{- end }}
      {{- end }}
{{- end }}

{{- define "modos.sessionSecret" -}}
{{- .Values.session.existingSecret | default (printf "%s-session" (include "modos.name" .)) }}
{{- end }}

{{/* Where a key service is asked for headers; its name has no dot, which is what the server takes for near */}}
{{- define "modos.rewrapUrl" -}}
{{- if .Values.keyserver.enabled }}http://{{ include "modos.name" . }}-keyserver:8090{{ else }}{{ .Values.rewrapUrl }}{{ end }}
{{- end }}

{{/* Whether a volume that one node alone has keeps the server from having more than one pod */}}
{{- define "modos.isAlone" -}}
{{- with .Values.readLog.volume }}{{ if and .enabled (hasPrefix "ReadWriteOnce" .accessMode) }}yes{{ end }}{{ end }}
{{- end }}

{{/* The port of an address: (list "https://keys.example.org:8443") */}}
{{- define "modos.portOf" -}}
{{- $url := urlParse (first .) -}}
{{- regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) | default (ternary "443" "80" (eq $url.scheme "https")) }}
{{- end }}

{{/* What the server's paths begin with, which a bucket behind the gateway would hide */}}
{{- define "modos.paths" -}}
assets authorize bins codes collections contigs coverage credentials docs elements features files find ga4gh genes genome get healthz htsget list login logout meta metrics minio objects openapi.json readyz references refget sequence slices tables whoami
{{- end }}
