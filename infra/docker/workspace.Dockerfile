# An image of Serin with another workspace in it; the build context is that workspace.
ARG IMAGE
FROM ${IMAGE}
USER 0:0
RUN rm -rf /app/*
COPY . /app
USER 10001:10001
