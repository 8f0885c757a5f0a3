# The relay in a slim image. Media comes in over UDP: publish the port range and say which address publishers can reach.
#   docker build -t relay .
#   docker run -p 8080:8080 -p 40000-40099:40000-40099/udp -e RELAY_ADVERTISED_ADDRESS=203.0.113.7 relay
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml README.md ./
COPY relay relay
COPY fixtures/clip.mp4 fixtures/clip.mp4
RUN python -m venv /opt/relay && /opt/relay/bin/pip install --no-cache-dir .

FROM python:3.12-slim
COPY --from=build /opt/relay /opt/relay
RUN useradd --system --no-create-home relay && install -d -o relay -g relay -m 700 /var/lib/relay
USER relay
VOLUME /var/lib/relay
# The AAC encoder is compiled for the processor that runs it, when it first does, and kept on the volume.
# Inside a container the network is the operator's: what may reach the port is decided by what -p publishes.
ENV PATH=/opt/relay/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    XDG_CACHE_HOME=/var/lib/relay/cache \
    RELAY_HOST=0.0.0.0 \
    RELAY_PORT=8080 \
    RELAY_INSECURE=true \
    RELAY_DATABASE_URL=sqlite:////var/lib/relay/relay.db \
    RELAY_UDP_PORTS=40000-40099
EXPOSE 8080/tcp 40000-40099/udp
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
  CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ['RELAY_PORT'] + '/healthz', timeout=2)"]
STOPSIGNAL SIGTERM
CMD ["relay", "serve"]
