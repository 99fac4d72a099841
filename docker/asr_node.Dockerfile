# The speech node. Built by `make images`, which puts into the context:
#   wheels/   everything in docker/node.requirements.txt, so that nothing is downloaded here
#   asr_node/ the code
# BASE needs Python with the wheels' version, nothing else (no pip, no compiler).
ARG BASE=python:3.11-slim

FROM ${BASE} AS packages
COPY wheels /wheels
RUN python3 -m venv --without-pip /opt/venv \
 && PYTHONPATH="$(echo /wheels/pip-*.whl)" /opt/venv/bin/python -m pip install \
        --no-index --no-deps --no-compile --no-cache-dir --disable-pip-version-check \
        $(ls /wheels/*.whl | grep -v /pip-) \
 # torch's own tests, C++ headers and test programs: 190 MB that no node runs
 && cd /opt/venv/lib/python3*/site-packages \
 && find torch/bin -type f ! -name torch_shm_manager -delete \
 && rm -rf torch/test torch/include \
 && find . -type d -name tests -prune -exec rm -rf {} + \
 # bytecode of what a node imports; of the rest it would only take room
 && PYTHONPATH= /opt/venv/bin/python -c "import av, fastapi, funasr, kaldi_native_fbank, uvicorn"

FROM ${BASE}
ARG TORCH=cpu
LABEL org.opencontainers.image.title="asr-rollout node" asr-rollout.torch="${TORCH}"
COPY --from=packages /opt/venv /opt/venv
RUN echo 'asr:x:10001:10001::/data:/usr/sbin/nologin' >>/etc/passwd \
 && echo 'asr:x:10001:' >>/etc/group \
 && mkdir /data /hub /models && chown 10001:10001 /data /hub
COPY docker/asr-node /usr/local/bin/asr-node
COPY asr_node /app/asr_node
RUN /opt/venv/bin/python -m compileall -q /app
# The root file system may be read-only: caches go to /tmp, downloaded models to /hub.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/data \
    XDG_CACHE_HOME=/tmp/cache \
    NUMBA_CACHE_DIR=/tmp/numba \
    MPLCONFIGDIR=/tmp/matplotlib \
    MODELSCOPE_CACHE=/hub/modelscope \
    HF_HOME=/hub/huggingface
USER asr
WORKDIR /data
EXPOSE 8000
ENTRYPOINT ["asr-node"]
