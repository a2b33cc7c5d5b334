{{- define "modos.serverEnvironment" -}}
- {name: MODOS_SERVE_HOST, value: "0.0.0.0"}
- {name: MODOS_SERVE_PORT, value: "8000"}
- {name: MODOS_SERVE_WORKERS, value: {{ .Values.server.workers | quote }}}
- {name: MODOS_SERVE_S3_URL, value: {{ include "modos.signedS3Url" . | quote }}}
- {name: MODOS_SERVE_PUBLIC_URL, value: {{ include "modos.publicUrl" . | quote }}}
- {name: MODOS_SERVE_HTSGET_URL, value: "{{ include "modos.publicUrl" . }}/htsget"}
- {name: MODOS_SERVE_MAX_AGE, value: {{ .Values.server.maxAge | quote }}}
- {name: MODOS_SERVE_LOG, value: {{ .Values.server.log | quote }}}
- {name: MODOS_SERVE_SESSION_KEY, value: /etc/modos-session/session-key}
{{- if include "modos.hasRules" . }}
- {name: MODOS_SERVE_ACCESS, value: /etc/modos/access.toml}
- {name: MODOS_PUBLIC_READ, value: "0"}
{{- end }}
{{- with .Values.server.references }}
- {name: MODOS_SERVE_REFERENCES, value: {{ . | quote }}}
{{- end }}
{{- if .Values.codes.existingClaim }}
- {name: MODOS_SERVE_CODES, value: /var/lib/modos-codes/{{ .Values.codes.file }}}
{{- end }}
{{- with .Values.codes.fuzonUrl }}
- {name: MODOS_SERVE_FUZON_URL, value: {{ . | quote }}}
{{- end }}
{{- if .Values.indexKey.existingSecret }}
- {name: MODOS_SERVE_INDEX_KEY, value: /etc/modos-index/{{ .Values.indexKey.key }}}
{{- end }}
{{- with include "modos.rewrapUrl" . }}
- {name: MODOS_SERVE_REWRAP, value: {{ . | quote }}}
{{- end }}
{{- with .Values.readLog.place }}
- {name: MODOS_SERVE_READ_LOG, value: {{ . | quote }}}
- {name: MODOS_SERVE_READ_LOG_KEY, value: /etc/modos-log/officer.pub}
- {name: MODOS_SERVE_READ_LOG_REQUIRED, value: {{ ternary "1" "0" $.Values.readLog.required | quote }}}
{{- end }}
{{ include "modos.s3Environment" . }}
- {name: FORWARDED_ALLOW_IPS, value: "*"}
{{- end }}

{{- define "modos.s3Environment" -}}
- {name: AWS_ENDPOINT_URL, value: {{ include "modos.s3Url" . | quote }}}
- {name: AWS_SHARED_CREDENTIALS_FILE, value: /etc/modos-s3/credentials}
- {name: AWS_DEFAULT_REGION, value: {{ .Values.s3.region | quote }}}
- {name: AWS_EC2_METADATA_DISABLED, value: "true"}
{{- with include "modos.authoritiesEnvironment" . }}{{ . | nindent 0 }}{{ end }}
{{- end }}

{{/* What each library takes its authorities from: OpenSSL, obstore and htsget-rs the first two, of which the folder keeps those of the
     image out; botocore the third, requests the fourth */}}
{{- define "modos.authoritiesEnvironment" -}}
{{- if include "modos.authoritiesVolume" . -}}
- {name: SSL_CERT_FILE, value: /etc/modos-cas/ca.crt}
- {name: SSL_CERT_DIR, value: /etc/modos-cas}
- {name: AWS_CA_BUNDLE, value: /etc/modos-cas/ca.crt}
- {name: REQUESTS_CA_BUNDLE, value: /etc/modos-cas/ca.crt}
{{- end }}
{{- end }}

{{/* Where htsget-rs reads, and what it signs for; the bucket is the only one that it gives tickets for */}}
{{- define "modos.htsgetLocations" -}}
[{regex=".*", substitution_string="$0", backend={kind="S3", bucket="{{ include "modos.bucket" . }}", endpoint="{{ include "modos.signedS3Url" . }}", path_style=true}}]
{{- end }}
