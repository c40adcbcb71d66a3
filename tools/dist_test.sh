#!/usr/bin/env bash
# Evaluates a checkpoint on several GPUs, or on several CPU processes where there is no GPU:
#
#   bash tools/dist_test.sh CONFIG CHECKPOINT GPUS [arguments of tools/test.py]
#
# Several machines: the same on each, with NNODES, NODE_RANK, MASTER_ADDR and PORT.
set -euo pipefail
source "$(dirname "$0")/launch.sh"

require 3 'bash tools/dist_test.sh CONFIG CHECKPOINT GPUS [arguments of tools/test.py]' "$@"
config=$1 checkpoint=$2 gpus=$3
shift 3
launch "$gpus" test.py "$config" "$checkpoint" --launcher pytorch "$@"
