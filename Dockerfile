# The static binary, the certificates that browsers trust, and nothing else:
#     docker build -t ematix-flow .
# How it is run: docs/how-to/containers.md.

# Debian 12: its glibc (2.36) looks up host names without libraries beside it, which `./do static` checks.
FROM rust:1-bookworm AS build
WORKDIR /source
COPY . .
RUN CARGO_TARGET_DIR=/target ./do static

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /target/release/flow /flow
# Nobody in particular, as a number: there is no /etc/passwd.
USER 65532:65532
ENTRYPOINT ["/flow"]
