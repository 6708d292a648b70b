# syntax=docker/dockerfile:1
# Built in one stage, served from another: no compiler, no pip cache, no root.

FROM python:3.13-slim AS build
WORKDIR /src
RUN python -m venv /venv
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY host host
COPY tenants tenants
COPY plugins plugins
RUN --mount=type=cache,target=/root/.cache/pip \
    /venv/bin/pip install --disable-pip-version-check -c constraints.txt '.[uvicorn,granian]'

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /app --shell /usr/sbin/nologin tenantry \
    && install -d -o tenantry -g tenantry /app /data
WORKDIR /app
COPY --from=build /venv /venv
COPY plugins.toml ./
COPY config config
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    TENANTRY_SERVER__HOST=0.0.0.0 \
    TENANTRY_DATA__DIR=/data
USER tenantry
VOLUME /data
EXPOSE 8000
# Only that this process answers. Whether the services behind it do is said by /api/v1/ready.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ.get(\"PORT\", \"8000\")}/api/v1/health', timeout=2)"]
# Exec form: SIGTERM reaches the server, which finishes what it is doing.
ENTRYPOINT ["tenantry"]
CMD ["serve"]
