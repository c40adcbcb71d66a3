#!/usr/bin/env bash
# Evaluates a checkpoint on a SLURM cluster, and waits for the end:
#
#   [GPUS=8 GPUS_PER_NODE=8 CPUS_PER_TASK=5 SRUN_ARGS=...] \
#       bash tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [arguments of tools/test.py]
set -euo pipefail
source "$(dirname "$0")/launch.sh"

require 4 '[GPUS=8 GPUS_PER_NODE=8 CPUS_PER_TASK=5 SRUN_ARGS=...] bash tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [arguments of tools/test.py]' "$@"
partition=$1 job=$2 config=$3 checkpoint=$4
shift 4
submit "$partition" "$job" test.py "$config" "$checkpoint" "$@"
