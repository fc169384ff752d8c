# A dream server that is safe to expose: TLS, a token, no root. See docs/serving.md.
#
#   docker build -t dreamenv .
#   docker run -d --name dreams -p 50051:50051 -v dreams:/var/lib/dreamenv \
#       -e DREAMENV_HOSTS=gpu-box dreamenv
#
# Without a GPU: --build-arg TORCH_INDEX=<PyTorch's index of CPU wheels>. With one:
# `docker run --gpus all … dreamenv --device cuda`. To --compile on a CPU: --build-arg PACKAGES=g++.
ARG PYTHON=python:3.11-slim-bookworm

FROM ${PYTHON} AS build
# Where torch comes from, besides pip's own index, whose torch brings CUDA along: PyTorch's index of
# CPU wheels makes the image gigabytes smaller.
ARG TORCH_INDEX=
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv --without-pip /opt/dreamenv
COPY constraints.txt ./
# By itself: the largest part, and the one that changes least. Its own tests stay out.
RUN python -m pip --python /opt/dreamenv/bin/python install --constraint constraints.txt \
        ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} torch numpy \
    && cd /opt/dreamenv/lib/python3*/site-packages/torch && rm -rf test bin/*[Tt]est*
COPY . .
RUN python -m pip --python /opt/dreamenv/bin/python install --constraint constraints.txt \
        ./clients/python ./server .

FROM ${PYTHON}
ARG PACKAGES=
# openssl makes the certificate at the first start.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends openssl ${PACKAGES} \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/dreamenv dreamenv \
    && install --directory --owner dreamenv --group dreamenv --mode 0700 \
        /var/lib/dreamenv /run/dreamenv
COPY --from=build /opt/dreamenv /opt/dreamenv
COPY server/entrypoint.py /opt/dreamenv/entrypoint.py
# Threads that wait by spinning starve each other wherever anything else runs.
ENV PATH=/opt/dreamenv/bin:$PATH PYTHONUNBUFFERED=1 OMP_WAIT_POLICY=PASSIVE
USER dreamenv
WORKDIR /var/lib/dreamenv
# The snapshots' key, the certificate authority and the token outlive the container.
VOLUME /var/lib/dreamenv
EXPOSE 50051
STOPSIGNAL SIGTERM
# A door of its own, on a Unix socket: it opens whatever certificates and tokens clients need.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-m", "dreamenv_server.health", "unix:/run/dreamenv/health.sock"]
ENTRYPOINT ["python", "/opt/dreamenv/entrypoint.py"]
