# Builds Tideline and leaves the program alone with libpq and certificates. Configure it by environment: .env.example.
#
#   docker build -t tideline . && docker compose up

FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends libpq-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libpq5 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --no-create-home tideline
COPY --from=build /src/target/release/tideline /usr/local/bin/tideline
USER tideline
# In a container everybody else is outside.
ENV TIDELINE_BIND=0.0.0.0:8080
EXPOSE 8080
# Ready means that PostgreSQL answers and keeps what it acknowledges. (The image has bash, and no curl.)
HEALTHCHECK --interval=5s --timeout=6s --start-period=10s --retries=3 CMD ["bash", "-c", \
    "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /health/ready HTTP/1.0\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep -q ' 200 '"]
# Docker waits 10 s after SIGTERM before it kills: as long as the default TIDELINE_DRAIN_SECONDS, so ask for a little more
# (docker stop -t 15; stop_grace_period in compose.yaml).
STOPSIGNAL SIGTERM
ENTRYPOINT ["tideline"]
CMD ["serve"]
