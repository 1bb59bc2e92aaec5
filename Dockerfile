# The application: workers, control worker, beat, Flower and the command, all by one image.
# A tag may be moved. To pin what it points to, put its digest behind it in both places, @sha256:..., as
# `docker buildx imagetools inspect python:3.12.12-slim-bookworm` prints it
FROM python:3.12.12-slim-bookworm AS build
WORKDIR /app
COPY pyproject.toml README.md LICENSE deploy/constraints.txt deploy/build-constraints.txt ./
COPY reembed ./reembed
# What builds the wheel is pinned too: left to itself, pip would fetch the newest
RUN pip install --no-cache-dir --only-binary :all: --constraint build-constraints.txt hatchling && \
    pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels .
# Not editable: the wheel brings the library and the command, the other rooms stand beside it. Nobody installs anything
# into it later, so it has no pip; all else comes as wheels, so nothing else needs a builder
RUN python -m venv --without-pip /venv && \
    pip --python /venv/bin/python install --no-cache-dir --only-binary :all: --constraint constraints.txt \
        "$(ls /wheels/reembed-*.whl)[application,tracing]"

FROM python:3.12.12-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home reembed
ENV PATH=/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
COPY --from=build /venv /venv
COPY config ./config
COPY workers ./workers
COPY orchestrator ./orchestrator
# By number, so that a cluster can see that it is not root
USER 10001
# Exec form, so that SIGTERM reaches Celery itself and the worker gives its chunk back
CMD ["celery", "-q", "-A", "config.celery_app", "worker", "-Q", "reembed.embed", "-c", "2", "--prefetch-multiplier", "1", \
     "-E", "-l", "INFO", "-n", "worker@%h", "--without-gossip", "--without-mingle"]
