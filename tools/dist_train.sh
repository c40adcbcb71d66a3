#!/usr/bin/env bash
# Trains on several GPUs, or on several CPU processes where there is no GPU:
#
#   bash tools/dist_train.sh CONFIG GPUS [arguments of tools/train.py]
#
# From the environment: NNODES (1), NODE_RANK (0), MASTER_ADDR (127.0.0.1),
# PORT (29500; on one machine a free one), PYTHON (python).
set -euo pipefail

if [ $# -lt 2 ]; then
    echo "usage: bash tools/dist_train.sh CONFIG GPUS [arguments of tools/train.py]" >&2
    exit 2
fi
config=$1
gpus=$2
shift 2
case $gpus in
    '' | *[!0-9]* | 0)
        echo "error: GPUS must be a positive number, got '$gpus'" >&2
        exit 2
        ;;
esac

python=${PYTHON:-python}
if ! "$python" -c 'import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, ("mmssl_prior", "mmengine"))))'; then
    echo "error: $python has no mmssl_prior; run: source .venv/bin/activate, or set PYTHON=.venv/bin/python" >&2
    exit 1
fi
nodes=${NNODES:-1}
port=${PORT:-}
if [ -z "$port" ]; then
    port=29500
    # Two runs on one machine must not meet at the same port.
    if [ "$nodes" = 1 ]; then
        port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    fi
fi
# One thread per process is torchrun's default as well; named here, it warns no more.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

exec "$python" -m mmssl_prior.cli.launch \
    --nnodes="$nodes" \
    --node-rank="${NODE_RANK:-0}" \
    --master-addr="${MASTER_ADDR:-127.0.0.1}" \
    --master-port="$port" \
    --nproc-per-node="$gpus" \
    "$(dirname "$0")/train.py" "$config" --launcher pytorch "$@"
