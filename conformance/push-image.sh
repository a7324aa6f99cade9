# Makes an OCI image of one file that holds $CONTENT, pushes it to $TARGET and prints its digest.
# The same content gives the same digest on every machine.
layout=$(mktemp -d)
trap 'rm -rf "$layout"' EXIT
blobs="$layout/image/blobs/sha256"
mkdir -p "$blobs" "$layout/files"

# put FILE: keeps a blob under its own digest and prints the digest.
put() {
  local digest
  digest=$(sha256sum <"$1" | cut -d' ' -f1)
  cp "$1" "$blobs/$digest"
  printf '%s' "$digest"
}

printf '%s\n' "$CONTENT" >"$layout/files/content"
tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$layout/files" -cf "$layout/layer.tar" content
diff=$(sha256sum <"$layout/layer.tar" | cut -d' ' -f1)
gzip -n "$layout/layer.tar"
layer=$(put "$layout/layer.tar.gz")

printf '{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
  "$diff" >"$layout/config.json"
config=$(put "$layout/config.json")

printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:%s","size":%d},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:%s","size":%d}]}' \
  "$config" "$(stat -c %s "$layout/config.json")" "$layer" "$(stat -c %s "$layout/layer.tar.gz")" >"$layout/manifest.json"
manifest=$(put "$layout/manifest.json")

printf '{"imageLayoutVersion":"1.0.0"}' >"$layout/image/oci-layout"
printf '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%s","size":%d,"annotations":{"org.opencontainers.image.ref.name":"image"}}]}' \
  "$manifest" "$(stat -c %s "$layout/manifest.json")" >"$layout/image/index.json"

skopeo --insecure-policy copy --quiet --preserve-digests --dest-tls-verify=false \
  "oci:$layout/image:image" "docker://$TARGET" >&2
printf 'sha256:%s\n' "$manifest"
