{{/* What contradicts itself, or is missing, in one sentence with a hint. What is of a wrong form, values.schema.json refuses. */}}
{{- define "modos.checks" -}}
{{- $v := .Values -}}
{{- $url := include "modos.publicUrl" . -}}
{{- $isLocal := or (eq (include "modos.publicHost" .) "localhost") (hasSuffix ".localhost" (include "modos.publicHost" .)) -}}
{{- if not $url }}
  {{- fail "publicUrl is empty: set the address that clients use, such as https://modos.example.org" }}
{{- end }}
{{- $host := include "modos.publicHost" . -}}
{{- if or (regexMatch "^http:.*:80$" $url) (regexMatch "^https:.*:443$" $url) }}
  {{- fail (printf "publicUrl is %s: leave out the port, which browsers leave out, too" $url) }}
{{- end }}
{{- if and $v.ingress.enabled (regexMatch "^[0-9]+([.][0-9]+){3}$" $host) }}
  {{- fail (printf "ingress.enabled, and publicUrl is %s: an Ingress has a name, and no address" $url) }}
{{- end }}
{{- if has (include "modos.gatewayPort" .) (list "2020" "8081") }}
  {{- fail (printf "publicUrl is %s: the pod of the gateway uses that port itself; choose another" $url) }}
{{- end }}
{{- if and $v.gateway.publicAddress (or (not $v.s3.internalAddress) (hasPrefix "http:" $url)) }}
  {{- fail "gateway.publicAddress is for s3.internalAddress behind https: leave it out" }}
{{- end }}
{{- if and (hasPrefix "http:" $url) (include "modos.hasRules" .) (not $isLocal) }}
  {{- fail (printf "publicUrl is %s, and access has rules: tokens would be readable on the way; use https" $url) }}
{{- end }}
{{- if $v.demo.enabled }}
  {{- if or $v.s3.url $v.s3.internalAddress $v.s3.existingSecret }}
    {{- fail "demo.enabled brings an S3 of its own, and s3 names another: leave out demo.enabled, or s3.url, s3.internalAddress and s3.existingSecret" }}
  {{- end }}
{{- else }}
  {{- if eq (empty $v.s3.url) (empty $v.s3.internalAddress) }}
    {{- fail "set one of s3.url (clients reach the S3 themselves) and s3.internalAddress (they get to it through the gateway)" }}
  {{- end }}
  {{- if and $v.s3.internalAddress (has $v.s3.bucket (include "modos.paths" . | splitList " ")) }}
    {{- fail (printf "s3.bucket is %s, and the server has a path of that name: behind the gateway the bucket needs another" $v.s3.bucket) }}
  {{- end }}
  {{- if not $v.s3.bucket }}
    {{- fail "s3.bucket is empty: set the bucket that is served" }}
  {{- end }}
  {{- if not $v.s3.existingSecret }}
    {{- fail "s3.existingSecret is empty: make a Secret with the server's keys (kubectl create secret generic NAME --from-file=credentials), and name it" }}
  {{- end }}
{{- end }}
{{- if and $v.s3.url (eq (trimSuffix "/" $v.s3.url) $url) }}
  {{- fail "s3.url and publicUrl are the same address: an S3 behind the gateway is s3.internalAddress" }}
{{- end }}
{{- if and $v.trustedCAs.configMap $v.trustedCAs.existingSecret }}
  {{- fail "trustedCAs.configMap and trustedCAs.existingSecret: leave one out; all authorities are in one file" }}
{{- end }}
{{- if and $v.access.open (include "modos.hasRules" .) }}
  {{- fail "access.open lets everybody read everything, whatever access.rules or access.existingSecret say: leave one out" }}
{{- end }}
{{- if not (or $v.access.open $v.demo.enabled (include "modos.hasRules" .)) }}
  {{- fail "who may read? set access.rules or access.existingSecret (or access.open=true, if everybody may read everything)" }}
{{- end }}
{{- if and $v.access.rules $v.access.existingSecret (not $v.access.keys) }}
  {{- fail "access.rules and access.existingSecret: name the keys of the Secret that the rules need in access.keys, such as [tokens]" }}
{{- end }}
{{- if and $v.access.keys (not $v.access.existingSecret) }}
  {{- fail "access.keys are those of a Secret: name it in access.existingSecret" }}
{{- end }}
{{- if and $v.access.rules (has "access.toml" $v.access.keys) }}
  {{- fail "access.toml is in access.rules and in access.keys: leave one out" }}
{{- end }}
{{- if and (not $v.access.rules) $v.access.keys (not (has "access.toml" $v.access.keys)) }}
  {{- fail "access.keys has no access.toml, and access.rules is empty: one of them has the rules" }}
{{- end }}
{{- if and $v.ingress.enabled $isLocal }}
  {{- fail (printf "ingress.enabled, and publicUrl is %s: nobody elsewhere gets there; set the name of the ingress" $url) }}
{{- end }}
{{- if and $v.keyserver.enabled $v.rewrapUrl }}
  {{- fail "rewrapUrl names a key service elsewhere, and keyserver.enabled starts one here: leave one out" }}
{{- end }}
{{- if $v.keyserver.enabled }}
  {{- if not $v.keyserver.existingSecret }}
    {{- fail "keyserver.existingSecret is empty: it names the Secret with the secret key of a recipient" }}
  {{- end }}
  {{- if not $v.keyserver.people }}
    {{- fail "keyserver.people is empty: whose public key is whose has to be known" }}
  {{- end }}
  {{- if not (include "modos.hasRules" .) }}
    {{- fail "keyserver.enabled without rules: set access.rules or access.existingSecret, which say who may have headers" }}
  {{- end }}
  {{- if not (or $v.demo.enabled $v.keyserver.s3ExistingSecret) }}
    {{- fail "keyserver.s3ExistingSecret is empty: it names a Secret with keys of S3 that read and nothing else" }}
  {{- end }}
{{- end }}
{{- $texts := dict "access.rules" $v.access.rules "readLog.key" $v.readLog.key }}
{{- range $name, $text := $v.keyserver.people }}
  {{- $_ := set $texts (printf "keyserver.people.%s" $name) $text }}
{{- end }}
{{- range $name, $text := $texts }}
  {{- if contains "PRIVATE KEY" $text }}
    {{- fail (printf "%s has a secret key, which whoever sees the ConfigMap would read: give the public one, and make another pair" $name) }}
  {{- end }}
  {{- if and $text (ne $name "access.rules") (not (contains "-----BEGIN CRYPT4GH PUBLIC KEY-----" $text)) }}
    {{- fail (printf "%s is not the text of a public key, as `modos c4gh keygen` writes it" $name) }}
  {{- end }}
{{- end }}
{{- if and $v.readLog.place (not $v.readLog.key) }}
  {{- fail "readLog.place without readLog.key: for whom is the read log? give the officer's public key" }}
{{- end }}
{{- if and $v.readLog.key (not $v.readLog.place) }}
  {{- fail "readLog.key without readLog.place: where is the read log to be?" }}
{{- end }}
{{- if and (hasPrefix "/" $v.readLog.place) (not $v.readLog.volume.enabled) }}
  {{- fail "readLog.place is a folder, which would be lost with its pod: set readLog.volume.enabled=true, or log to s3://BUCKET/PREFIX" }}
{{- end }}
{{- $isMany := or (gt (int $v.server.replicas) 1) $v.server.autoscaling.enabled }}
{{- if and (include "modos.isAlone" .) $isMany }}
  {{- fail "readLog.volume.accessMode is that of one node, and there are more servers: use ReadWriteMany, a bucket, or server.replicas=1" }}
{{- end }}
{{- $given := list }}
{{- range $v.server.extraEnv }}
  {{- if and (hasKey . "value") (regexMatch "(?i)(password|passphrase|secret|token|credential)" .name) }}
    {{- fail (printf "server.extraEnv: %s is a value that whoever sees the pod reads: use valueFrom.secretKeyRef" .name) }}
  {{- end }}
  {{- if and (hasKey . "value") (regexMatch "://[^/]*@" .value) }}
    {{- fail (printf "server.extraEnv: %s has a password in its address, which whoever sees the pod reads: use valueFrom.secretKeyRef" .name) }}
  {{- end }}
  {{- if has .name $given }}
    {{- fail (printf "server.extraEnv: %s is there twice" .name) }}
  {{- end }}
  {{- $given = append $given .name }}
  {{- if and (include "modos.authoritiesVolume" $) (has .name (list "SSL_CERT_FILE" "SSL_CERT_DIR" "AWS_CA_BUNDLE" "REQUESTS_CA_BUNDLE" "CURL_CA_BUNDLE")) }}
    {{- fail (printf "server.extraEnv: %s is set by the chart, from trustedCAs" .name) }}
  {{- end }}
  {{- if regexMatch "^(MODOS_(SERVE_|PUBLIC_|KEYSERVER_)|AWS_(ENDPOINT_URL|REGION|DEFAULT_REGION|PROFILE|CONFIG_FILE|SHARED_CREDENTIALS_FILE|ACCESS_KEY|SECRET_ACCESS_KEY|SESSION_TOKEN|EC2_)|FORWARDED_ALLOW_IPS$)" .name }}
    {{- fail (printf "server.extraEnv: %s is set by the chart, from a setting of its own" .name) }}
  {{- end }}
{{- end }}
{{- range $name := list "server" "gateway" }}
  {{- range $annotation, $_ := (index $v $name).podAnnotations }}
    {{- if hasPrefix "checksum/" $annotation }}
      {{- fail (printf "%s.podAnnotations: %s is the chart's own, and has pods made anew where their files change" $name $annotation) }}
    {{- end }}
  {{- end }}
  {{- $scaling := (index $v $name).autoscaling }}
  {{- if gt (int $scaling.minReplicas) (int $scaling.maxReplicas) }}
    {{- fail (printf "%s.autoscaling: minReplicas is more than maxReplicas" $name) }}
  {{- end }}
{{- end }}
{{- range $name, $image := $v.images }}
  {{- if and (kindIs "map" $image) (eq (toString $image.tag) "latest") }}
    {{- fail (printf "images.%s.tag is latest, which is another image each day: name a version" $name) }}
  {{- end }}
  {{- if and (kindIs "map" $image) (ne $name "modos") (not (or $image.tag $image.digest)) }}
    {{- fail (printf "images.%s has neither a tag nor a digest: name a version" $name) }}
  {{- end }}
{{- end }}
{{- end }}
