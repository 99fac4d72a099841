# The control plane: no torch, no funasr. Built by `make images`, which puts into the context:
#   wheels/   its dependencies, so that nothing is downloaded here
#   dist/     the project itself as a wheel
ARG BASE=python:3.11-slim

FROM ${BASE} AS packages
COPY wheels /wheels
RUN python3 -m venv --without-pip /opt/venv \
 && PYTHONPATH="$(echo /wheels/pip-*.whl)" /opt/venv/bin/python -m pip install \
        --no-index --no-deps --no-cache-dir --disable-pip-version-check \
        $(ls /wheels/*.whl | grep -v /pip-)

FROM packages AS project
COPY dist /dist
RUN PYTHONPATH="$(echo /wheels/pip-*.whl)" /opt/venv/bin/python -m pip install \
        --no-index --no-deps --no-cache-dir --disable-pip-version-check --target /app /dist/*.whl

FROM ${BASE}
LABEL org.opencontainers.image.title="asr-rollout controller"
RUN echo 'asr:x:10001:10001::/tmp:/usr/sbin/nologin' >>/etc/passwd \
 && echo 'asr:x:10001:' >>/etc/group
COPY --from=packages /opt/venv /opt/venv
COPY --from=project /app /app
ENV PATH=/app/bin:/opt/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp
# Whoever may use the Docker socket is root on the host anyway; compose.yaml says which user.
USER asr
ENTRYPOINT ["rollout"]
