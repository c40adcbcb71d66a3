#!/usr/bin/env bash
# Trains on a SLURM cluster, and waits for the end:
#
#   [GPUS=8 GPUS_PER_NODE=8 CPUS_PER_TASK=5 SRUN_ARGS=...] \
#       bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [arguments of tools/train.py]
set -euo pipefail
source "$(dirname "$0")/launch.sh"

require 4 '[GPUS=8 GPUS_PER_NODE=8 CPUS_PER_TASK=5 SRUN_ARGS=...] bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [arguments of tools/train.py]' "$@"
partition=$1 job=$2 config=$3 work_dir=$4
shift 4
submit "$partition" "$job" train.py "$config" --work-dir "$work_dir" "$@"
