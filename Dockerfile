# The application: workers, control worker, beat, Flower and the command, all by one image.
FROM python:3.12.12-slim-bookworm AS build
WORKDIR /app
RUN python -m venv /venv
COPY pyproject.toml README.md LICENSE deploy/constraints.txt ./
COPY reembed ./reembed
# Not editable: the wheel brings the library and the command, the other rooms stand beside it
RUN /venv/bin/pip install --no-cache-dir --constraint constraints.txt '.[application,tracing]'

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
