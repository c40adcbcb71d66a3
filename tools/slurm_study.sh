#!/usr/bin/env bash
# Submits the runs of a study that are missing as an array of SLURM jobs, one for each, and returns.
# A job that SLURM preempts, or whose time ends, writes a checkpoint and is queued again:
#
#   [GPUS=1 CPUS_PER_TASK=5 AT_ONCE=8 SBATCH_ARGS=...] \
#       bash tools/slurm_study.sh PARTITION JOB_NAME STUDY WORK_DIR [arguments of tools/study.py]
#
# When they have ended, python tools/study.py STUDY --work-dir WORK_DIR collects their results, and
# this line submits what has failed.
set -euo pipefail
source "$(dirname "$0")/launch.sh"

require 4 '[GPUS=1 CPUS_PER_TASK=5 AT_ONCE=8 SBATCH_ARGS=...] bash tools/slurm_study.sh PARTITION JOB_NAME STUDY WORK_DIR [arguments of tools/study.py]' "$@"
partition=$1 job=$2 study=$3 work_dir=$4
shift 4
arguments=("$study" --work-dir "$work_dir" "$@")

# Within a job of the array: its run, as a step, which SLURM signals.
if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then
    require_package
    srun --ntasks=1 "$python" -u "$tools/study.py" "${arguments[@]}" &
    step=$!
    for name in INT TERM USR1; do
        # shellcheck disable=SC2064
        trap "kill -$name $step 2>/dev/null" "$name"
    done
    code=0
    wait "$step" || code=$?
    # A trapped signal ends the waiting, not the step.
    while kill -0 "$step" 2>/dev/null; do
        code=0
        wait "$step" || code=$?
    done
    if [ "$code" = 75 ] && scontrol requeue "$SLURM_JOB_ID"; then
        echo "preempted; task $SLURM_ARRAY_TASK_ID is queued again" >&2
        code=0
    fi
    exit "$code"
fi

gpus=${GPUS:-1} cpus=${CPUS_PER_TASK:-5}
positive GPUS "$gpus"
positive CPUS_PER_TASK "$cpus"
positive AT_ONCE "${AT_ONCE:-1}"
if ! command -v sbatch >/dev/null; then
    echo "error: no sbatch here: run this on a machine of a SLURM cluster, or elsewhere use tools/study.py" >&2
    exit 1
fi
require_package
missing=$("$python" "$tools/study.py" "${arguments[@]}" --list-missing)
if [ -z "$missing" ]; then
    echo 'nothing is missing' >&2
    exit 0
fi
mkdir -p "$work_dir"
# SBATCH_ARGS holds several words; given last, they win over those before.
# shellcheck disable=SC2086
sbatch \
    --partition="$partition" \
    --job-name="$job" \
    --array="$missing${AT_ONCE:+%$AT_ONCE}" \
    --gres="gpu:$gpus" \
    --cpus-per-task="$cpus" \
    --requeue \
    --signal=USR1@120 \
    --output="$work_dir/slurm-%A_%a.txt" \
    ${SBATCH_ARGS:-} \
    --wrap="$(printf '%q ' env "PYTHON=$python" bash "$tools/slurm_study.sh" "$partition" "$job" "${arguments[0]}" "$work_dir" "$@")"
