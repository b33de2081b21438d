# syntax=docker/dockerfile:1
# The image of Sluice: one program, its CA certificates, a user without rights. Built by docker-compose.yml.

FROM rust:1.95.0-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --locked --release --package sluice && cp target/release/sluice /usr/local/bin/sluice

FROM debian:bookworm-slim
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin sluice \
    && install --directory --owner sluice --group sluice /var/lib/sluice
COPY --from=build /usr/local/bin/sluice /usr/local/bin/sluice
USER sluice
WORKDIR /var/lib/sluice
ENV SLUICE_DATA=/var/lib/sluice
EXPOSE 50051 8080
ENTRYPOINT ["sluice"]
CMD ["run"]
