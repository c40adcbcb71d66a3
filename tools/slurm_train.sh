#!/usr/bin/env bash
# Trains on a SLURM cluster, and waits for the end. A training that SLURM preempts finishes its
# iteration, writes a checkpoint and is submitted again to go on from it; a batch job that holds
# this line is queued again (sbatch --requeue; --signal=USR1@120 warns of the end of its time):
#
#   [GPUS=8 GPUS_PER_NODE=8 CPUS_PER_TASK=5 SRUN_ARGS=...] \
#       bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [arguments of tools/train.py]
set -euo pipefail
source "$(dirname "$0")/launch.sh"

require 4 '[GPUS=8 GPUS_PER_NODE=8 CPUS_PER_TASK=5 SRUN_ARGS=...] bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [arguments of tools/train.py]' "$@"
partition=$1 job=$2 config=$3 work_dir=$4
shift 4
submit_again "$work_dir" "$partition" "$job" train.py "$config" --work-dir "$work_dir" "$@"
