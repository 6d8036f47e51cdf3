#!/bin/sh
# install.sh VENV REQUIREMENTS TORCH_INDEX: a virtual environment with the locked packages. With an index of PyTorch's,
# torch and torchvision come from there in the same versions (without hashes: its wheels are others), and CUDA stays out.
set -eu
venv=$1 requirements=$2 torch_index=$3

python3 -m venv --without-pip "$venv"
# Without pip's cache, which would hold gigabytes of wheels once more.
install() { python3 -m pip --python "$venv/bin/python" install --no-cache-dir --no-compile "$@"; }

if [ -n "$torch_index" ]; then
  # shellcheck disable=SC2046
  install --no-deps --index-url "$torch_index" $(grep -oE '^(torch|torchvision)==[^ ]+' "$requirements")
  awk '/^[a-z0-9]/ { skip = /^(torch|torchvision|triton|nvidia-|cuda-)/ } !skip' "$requirements" >"$requirements.cpu"
  install --no-deps --require-hashes -r "$requirements.cpu"
else
  install --require-hashes -r "$requirements"
fi
