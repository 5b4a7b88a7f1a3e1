ARG BASE
FROM ${BASE}
CMD ["sh", "-c", "echo $COMPANY; cat /etc/company/contact"]
