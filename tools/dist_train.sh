#!/usr/bin/env bash
# Trains on several GPUs, or on several CPU processes where there is no GPU:
#
#   bash tools/dist_train.sh CONFIG GPUS [arguments of tools/train.py]
#
# Several machines: the same on each, with NNODES, NODE_RANK, MASTER_ADDR and PORT.
set -euo pipefail
source "$(dirname "$0")/launch.sh"

require 2 'bash tools/dist_train.sh CONFIG GPUS [arguments of tools/train.py]' "$@"
config=$1 gpus=$2
shift 2
launch "$gpus" train.py "$config" --launcher pytorch "$@"
