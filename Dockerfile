# The application: workers, control worker, beat, Flower and the command, by the same image.
FROM python:3.12.12-slim-bookworm AS build
WORKDIR /app
RUN python -m venv /venv
COPY pyproject.toml README.md LICENSE ./
COPY reembed ./reembed
# Not editable: the wheel brings the library and the command, the rooms below stand beside it
RUN /venv/bin/pip install --no-cache-dir '.[application]'

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
USER reembed
# Exec form, so that SIGTERM reaches Celery itself and the worker gives its chunk back
CMD ["celery", "-A", "config.celery_app", "worker", "-Q", "reembed.embed", "-c", "2", "--prefetch-multiplier", "1", \
     "-E", "-l", "INFO", "-n", "embed@%h", "--without-gossip", "--without-mingle"]
