ARG BASE=busybox:1.36
FROM ${BASE}
RUN mkdir /site && echo "Hello from the greeter" > /site/index.html
EXPOSE 8080
CMD ["httpd", "-f", "-p", "8080", "-h", "/site"]
