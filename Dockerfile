# The operator's image: one static binary and the CA certificates, run as a user without rights. It writes no file, so its root may be
# read-only.
#
# Both images can be replaced, such as by those of a registry of your own. The operator needs nothing from BASE_IMAGE.
ARG BUILDER_IMAGE=golang:1.26
ARG BASE_IMAGE=scratch

# On the platform of the machine that builds: Go compiles for all others, much faster than an emulated compiler.
FROM --platform=$BUILDPLATFORM ${BUILDER_IMAGE} AS builder
ARG TARGETOS
ARG TARGETARCH
WORKDIR /src

# The modules are a layer of their own, so that a change of the code does not download them again.
COPY go.mod go.sum ./
RUN go mod download

COPY main.go ./
COPY api/ api/
COPY controllers/ controllers/
COPY pkg/ pkg/
RUN CGO_ENABLED=0 GOOS=${TARGETOS:-linux} GOARCH=${TARGETARCH} \
    go build -trimpath -ldflags="-s -w" -o /manager .

FROM ${BASE_IMAGE}
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="mongolock operator" \
      org.opencontainers.image.description="Shows distributed locks held in MongoDB as Kubernetes objects" \
      org.opencontainers.image.source="https://github.com/mongolock/operator" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=builder /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=builder /manager /manager
USER 65532:65532
ENTRYPOINT ["/manager"]
