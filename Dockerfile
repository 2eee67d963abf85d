# Builds Tideline and leaves the program alone with libpq and certificates. Configure it by environment: .env.example.
#
#   docker build -t tideline . && docker compose -f deploy/compose.yaml up

FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends libpq-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# The caches outlive the layer, so that a change of the source does not compile the dependencies again. They are no part
# of the image, and so the program is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked --no-default-features && cp target/release/tideline /tideline

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libpq5 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 900 --no-create-home tideline
COPY --from=build /tideline /usr/local/bin/tideline
# A number, because that is how an orchestrator can see that it is not root.
USER 900
# In a container everybody else is outside.
ENV TIDELINE_BIND=0.0.0.0:8080
EXPOSE 8080
# Ready means that PostgreSQL answers and keeps what it acknowledges. (The image has bash, and no curl.)
HEALTHCHECK --interval=5s --timeout=6s --start-period=10s --retries=3 CMD ["bash", "-c", \
    "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /health/ready HTTP/1.0\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep -q ' 200 '"]
# Docker waits 10 s after SIGTERM before it kills: as long as the default TIDELINE_DRAIN_SECONDS, so ask for a little more
# (docker stop -t 15; stop_grace_period in deploy/compose.yaml).
STOPSIGNAL SIGTERM
ENTRYPOINT ["tideline"]
CMD ["serve"]
