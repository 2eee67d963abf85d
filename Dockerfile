# Builds an image with the program, libpq and certificates. Environment variables configure it: .env.example.
#
#   docker build -t tideline . && docker compose -f deploy/compose.yaml up

FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends libpq-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# The caches are kept between builds, so that a change of the source does not compile the dependencies again. They are not
# part of the image, so the program is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked --no-default-features && cp target/release/tideline /tideline

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libpq5 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 900 --no-create-home tideline \
    # For a volume with media (TIDELINE_MEDIA_URL=file:///var/lib/tideline/media), which gets this owner.
    && install -d -o 900 /var/lib/tideline
COPY --from=build /tideline /usr/local/bin/tideline
# A number, so that an orchestrator can check that it is not root.
USER 900
# Clients are outside of the container, so the default of 127.0.0.1 would not be reachable.
ENV TIDELINE_BIND=0.0.0.0:8080
EXPOSE 8080
# Ready means that PostgreSQL answers and its commits are durable. (The image has bash, and no curl.)
HEALTHCHECK --interval=5s --timeout=6s --start-period=10s --retries=3 CMD ["bash", "-c", \
    "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /health/ready HTTP/1.0\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep -q ' 200 '"]
# Docker waits 10 s after SIGTERM before it kills: as long as the default TIDELINE_DRAIN_SECONDS, so set a few seconds more
# (docker stop -t 15; stop_grace_period in deploy/compose.yaml).
STOPSIGNAL SIGTERM
ENTRYPOINT ["tideline"]
CMD ["serve"]
