ARG BASE=busybox:1.36
FROM ${BASE}
COPY --chmod=755 func-test.sh /bin/func-test
CMD ["func-test"]
