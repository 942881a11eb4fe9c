# Copyright The Appliance Backup Operator Authors
# SPDX-License-Identifier: Apache-2.0
#
# Sourced by build.sh: stand-ins for the two base images that the Dockerfile pulls from a registry. Both are the
# smallest Debian that debootstrap makes, of the release that the Dockerfile names, slimmed as Debian's own slim image
# is; the one for Go differs in its environment alone, which points at the machine's Go mounted under /mnt.
#
# Uses of build.sh: $root, $cache, say. Gives: $mounts and $apt (directories to mount), isolate, prepare_bases.
#
# A base image has no CA certificates, so whatever downloads during the build is given those that the machine trusts.

mounts=$cache/mnt
apt=$cache/apt

debian_image=$(sed -nE 's/^FROM (.*debian:[a-z]+-slim).*/\1/p' "$root/Dockerfile")
go_image=$(sed -nE 's/^FROM .*(docker\.io[^ ]*golang:[^ ]+).*/\1/p' "$root/Dockerfile")
release=$(sed -E 's/.*:([a-z]+)-slim/\1/' <<<"$debian_image")

# isolate makes buildah keep everything, temporary files too, in the cache, and clears what a killed build left.
isolate() {
  rm -rf "$cache/run" "$cache/tmp" "$cache"/*.partial
  mkdir -p "$cache/tmp" "$mounts"/{go,modules,build}
  printf '[storage]\ndriver = "overlay"\ngraphroot = "%s"\nrunroot = "%s"\n' \
    "$cache/storage" "$cache/run" >"$cache/storage.conf"
  export CONTAINERS_STORAGE_CONF=$cache/storage.conf STORAGE_DRIVER=overlay BUILDAH_ISOLATION=chroot TMPDIR=$cache/tmp
  buildah rm --all >/dev/null
}

# mirror LABEL DEFAULT prints the address of the repository that calls itself LABEL among the machine's apt sources.
mirror() {
  local found
  found=$(apt-get indextargets --format '$(LABEL)|$(REPO_URI)' 'Created-By: Packages' | sed -n "s/^$1|//p" | head -n 1)
  echo "${found:-$2}"
}

# trusted_certificates prints the file of CA certificates that this machine trusts, at the places where Go looks for it
# (crypto/x509/root_linux.go); nothing if it has none.
trusted_certificates() {
  local file
  for file in "${SSL_CERT_FILE:-}" /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt \
    /etc/ssl/ca-bundle.pem /etc/pki/tls/cacert.pem /etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem /etc/ssl/cert.pem; do
    if [[ -s $file ]]; then
      echo "$file"
      return
    fi
  done
}

# prepare_certificates puts the certificates among what is mounted.
prepare_certificates() {
  local file
  file=$(trusted_certificates)
  if [[ -z $file ]]; then
    say "this machine has no CA certificates, so downloads over HTTPS will fail: install ca-certificates, or set SSL_CERT_FILE"
    file=/dev/null
  fi
  install -m 644 "$file" "$mounts/ca-certificates.crt"
}

# prepare_apt writes the apt settings of the build: the machine's mirrors, proxies, checks and passwords, the
# Dockerfile's release.
prepare_apt() {
  local debian security
  debian=$(mirror Debian http://deb.debian.org/debian/)
  security=$(mirror Debian-Security http://deb.debian.org/debian-security/)
  rm -rf "$apt"
  mkdir -p "$apt"/{apt.conf.d,auth.conf.d,preferences.d,sources.list.d,trusted.gpg.d}
  printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s\n' \
    "$debian $release main" "$debian $release-updates main" "$security $release-security main" >"$apt/sources.list"
  apt-config dump | grep '^Acquire::' | grep -Ev '^Acquire::(IndexTargets|Changelogs|CompressionTypes)' \
    >"$apt/apt.conf.d/80machine"
  echo 'Acquire::https::CaInfo "/mnt/ca-certificates.crt";' >"$apt/apt.conf.d/81certificates"
  cp -a /etc/apt/auth.conf.d/. "$apt/auth.conf.d/" 2>/dev/null || true
}

# debian_tree DIRECTORY fills DIRECTORY with a minimal, slim Debian.
debian_tree() {
  local proxy=${http_proxy:-}
  eval "$(apt-config shell proxy Acquire::http::Proxy)"
  http_proxy=$proxy debootstrap --variant=minbase "$release" "$1" "$(mirror Debian http://deb.debian.org/debian/)" \
    >"$cache/debootstrap.log" 2>&1 || {
    tail -n 5 "$cache/debootstrap.log" >&2
    echo "hack/image/build.sh: debootstrap of Debian $release failed: see $cache/debootstrap.log" >&2
    return 1
  }
  # What Debian's slim images leave out, now and at every later installation.
  printf 'path-exclude /usr/share/%s/*\n' doc info locale man lintian linda >"$1/etc/dpkg/dpkg.cfg.d/slim"
  rm -rf "$1"/usr/share/{doc,info,locale,man,lintian}/* "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/* "$1"/var/log/*.log
  printf '#!/bin/sh\nexit 101\n' >"$1/usr/sbin/policy-rc.d" # no services in an image
  chmod 755 "$1/usr/sbin/policy-rc.d"
}

# commit CONTAINER IMAGE turns a working container into IMAGE.
commit() {
  buildah commit --quiet --rm "$1" "$2" >/dev/null
}

prepare_debian() {
  local stamp container
  stamp=$debian_image-$(sha256sum "$root/hack/image/base.sh" | cut -c1-16)
  [[ $(cat "$cache/base" 2>/dev/null) != "$stamp" ]] || ! buildah inspect --type image "$debian_image" &>/dev/null ||
    return 0
  say "making a stand-in for $debian_image with debootstrap (about a minute, once)"
  rm -f "$cache/base"
  apt-get -qq update >&2
  prepare_apt
  debian_tree "$cache/tmp/debian"
  container=$(buildah from scratch)
  buildah add --quiet "$container" "$cache/tmp/debian" / >/dev/null
  buildah config --cmd bash --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
  commit "$container" "$debian_image"
  rm -rf "$cache/tmp/debian"
  echo "$stamp" >"$cache/base"
}

# prepare_go names an image as the Dockerfile's Go stage does. Its environment is the machine's: with a warm module
# cache nothing is downloaded, with a warm build cache little is compiled.
prepare_go() {
  local container variable
  container=$(buildah from --pull=never "$debian_image")
  buildah config --env GOROOT=/mnt/go --env GOMODCACHE=/mnt/modules --env GOCACHE=/mnt/build --env GOTOOLCHAIN=local \
    --env SSL_CERT_FILE=/mnt/ca-certificates.crt \
    --env PATH=/mnt/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
  for variable in GOPROXY GOFLAGS GONOPROXY GOSUMDB GONOSUMDB GOPRIVATE GOINSECURE; do
    buildah config --env "$variable=$(go env "$variable")" "$container"
  done
  commit "$container" "$go_image"
}

prepare_bases() {
  prepare_certificates
  prepare_debian
  prepare_go
}
