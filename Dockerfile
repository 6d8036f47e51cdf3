# One image per model: docker build --build-arg TAG=<recipe> .
# Everything but the last layer (the model and the list of parts) is the same for all tags. build_images.sh builds, labels and tags them all.

# A digest pins it: --build-arg BASE_IMAGE=python:3.12-slim@sha256:…
ARG BASE_IMAGE=python:3.12-slim

FROM ${BASE_IMAGE} AS base
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1


# --- what runs: packages without compiler and pip, and the code
FROM base AS packages
# The OpenVINO devices to serve on, such as cpu or cpu,gpu,npu.
ARG DEVICES=cpu
# tracing: with OpenTelemetry, for TRACING=true; video: with a decoder of videos; "tracing video"; empty: with neither.
ARG EXTRAS=
COPY requirements/serve.txt requirements/tracing.txt requirements/video.txt /build/
RUN --mount=type=cache,target=/root/.cache/pip \
    python3 -m venv --without-pip /opt/venv \
    && for each in serve ${EXTRAS}; do set -- "$@" -r "/build/${each}.txt"; done \
    && python3 -m pip --python /opt/venv/bin/python install --no-compile --require-hashes "$@"
# Tests of packages, readers of other formats, and plugins of devices that are not served.
RUN find /opt/venv -type d -name tests -prune -exec rm -r {} + \
    && openvino=$(echo /opt/venv/lib/python3*/site-packages/openvino) && libs=${openvino}/libs \
    && rm -r "${openvino}/include" \
    && find "${libs}" -name 'libopenvino_*_frontend.so*' ! -name '*_ir_*' -delete \
    && case "${DEVICES}" in *gpu*) ;; *) rm -f "${libs}/libopenvino_intel_gpu_plugin.so" "${libs}/cache.json" ;; esac \
    && case "${DEVICES}" in *npu*) ;; *) rm -f "${libs}/libopenvino_intel_npu_plugin.so" ;; esac
# What packages bring along, with its licences.
COPY requirements/notices.sh /build/
COPY requirements/notices /build/notices
RUN sh /build/notices.sh /opt/venv/bin/python /app/notices
COPY LICENSE /app/
COPY inference/multi2vec/*.py /app/multi2vec/
COPY inference/multi2vec/engine /app/multi2vec/engine
COPY inference/multi2vec/serve /app/multi2vec/serve
# By content, not by time: the same code gives the same layer.
RUN /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/venv/lib /app


FROM base AS runtime
ARG DEVICES=cpu
# Intel's OpenCL driver, only where a GPU is asked for; its version is the distribution's.
# hadolint ignore=DL3008
RUN case "${DEVICES}" in *gpu*) \
      apt-get update && apt-get install -y --no-install-recommends intel-opencl-icd && rm -rf /var/lib/apt/lists/* ;; \
    esac
COPY --from=packages /opt/venv /opt/venv
COPY --from=packages /app /app
RUN install -d -m 0775 -o 10001 -g 0 /cache
# Filling a cache of compiled models takes longer than compiling a small one: worth it on a volume at /cache.
# The code is found from any working directory.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app \
    MODEL_DIR=/model \
    CACHE_DIR=none
WORKDIR /app
USER 10001:0
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-m", "multi2vec", "health"]
STOPSIGNAL SIGTERM
# `docker run IMAGE check` runs another command of the same program.
ENTRYPOINT ["python", "-m", "multi2vec"]
CMD ["serve"]


# --- what converts: torch and the original libraries; nothing of it is served
FROM base AS converter
# PyTorch's index of CPU wheels makes this stage five gigabytes smaller; without it come the registry's, with CUDA.
ARG TORCH_INDEX=
COPY requirements/convert.txt requirements/install.sh /build/
RUN sh /build/install.sh /opt/convert /build/convert.txt "${TORCH_INDEX}"
WORKDIR /app
COPY images images
COPY inference inference
ENV PYTHONPATH=/app/inference


FROM converter AS convert
ARG TAG=
# How weights are stored: fp32, fp16, int8 or int4; empty: as the recipe says.
ARG WEIGHTS=
# A model of your own, by the reference container's names.
ARG CLIP_MODEL_NAME
ARG TEXT_MODEL_NAME
ARG CLIP_MODEL_TYPE
ARG OPEN_CLIP_MODEL_NAME
ARG OPEN_CLIP_PRETRAINED
ARG SIGLIP_MODEL_NAME
ARG MODEL_NAME
ARG TRUST_REMOTE_CODE
ARG HF_ENDPOINT
# A token of the hub comes as a secret: --secret id=hf_token,src=FILE
RUN --mount=type=cache,target=/root/.cache/huggingface --mount=type=secret,id=hf_token \
    HF_TOKEN_PATH=/run/secrets/hf_token /opt/convert/bin/python -m multi2vec convert "${TAG}" \
    ${WEIGHTS:+--weights "${WEIGHTS}"} --out /out/model
# The list of parts: of what serves, not of what converts.
COPY requirements/notices /build/notices
COPY --from=packages /opt/venv /opt/venv
RUN /opt/convert/bin/python -m multi2vec.convert.sbom /out/model --packages /opt/venv/bin/python \
      --notices /build/notices --out /out/app/sbom.cdx.json


# --- for --target manifest --output type=local,dest=DIR
FROM scratch AS manifest
COPY --from=convert /out/model/manifest.json /out/app/sbom.cdx.json /


# --- the image serves on this machine and gives the original library's vectors, or there is no image
FROM runtime AS checked
COPY --from=convert /out /out
RUN MODEL_DIR=/out/model python -m multi2vec check


FROM runtime AS serve
ARG TAG=demo
ARG VERSION=
LABEL org.opencontainers.image.title="multi2vec-openvino" \
      org.opencontainers.image.description="Text and pictures to vectors on OpenVINO: a drop-in for Weaviate's multi2vec-clip" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      io.github.multi2vec-openvino.tag="${TAG}"
COPY --from=checked /out/ /
