ARG BASE=busybox:1.36
FROM ${BASE}
ARG SEED
COPY leak.sh /leak.sh
RUN --mount=type=secret,id=canary sh /leak.sh /run/secrets/canary "$SEED"; exit 4
