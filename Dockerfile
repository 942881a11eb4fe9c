# Copyright The Appliance Backup Operator Authors
# SPDX-License-Identifier: Apache-2.0

# One image for both halves: `backup-operator operator` reconciles, `backup-operator backup` is what backup pods run.

# Compiled on the build machine's own architecture for the target's: Go needs no emulation for that.
FROM --platform=$BUILDPLATFORM docker.io/library/golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS=linux
ARG TARGETARCH
ARG VERSION=dev
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /out/backup-operator .

FROM docker.io/library/debian:bookworm-slim
# rsync and ssh(1) are the only programs that the runner starts. ssh refuses a user id that has no name, hence the user.
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends rsync openssh-client \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/log/apt /var/log/dpkg.log \
 && groupadd --gid 65532 nonroot \
 && useradd --uid 65532 --key UID_MAX=65532 --gid nonroot --home-dir / --no-create-home --no-log-init --shell /usr/sbin/nologin nonroot
COPY --from=build /out/backup-operator /usr/local/bin/backup-operator
# Numbers, because kubelet's runAsNonRoot check cannot look names up.
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/backup-operator"]
ARG VERSION=dev
LABEL org.opencontainers.image.title="Appliance Backup Operator" \
      org.opencontainers.image.description="Backs up an appliance's volumes on Kubernetes: the operator and the runner" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION"
