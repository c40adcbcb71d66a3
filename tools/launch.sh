# Functions of the launchers beside it; sourced, not run.

tools=$(dirname "${BASH_SOURCE[0]}")
python=${PYTHON:-python}

# Ends with the usage line unless there are as many arguments as it names.
#   require COUNT USAGE "$@"
require() {
    local count=$1 usage=$2
    shift 2
    if [ $# -lt "$count" ]; then
        echo "usage: $usage" >&2
        exit 2
    fi
}

# Ends unless a value is a number from 1.
#   positive NAME VALUE
positive() {
    case $2 in
        '' | *[!0-9]* | 0)
            echo "error: $1 must be a positive number, got '$2'" >&2
            exit 2
            ;;
    esac
}

# Ends unless the Python that will be started has the package.
require_package() {
    if ! "$python" -c 'import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, ("mmssl_prior", "mmengine"))))'; then
        echo "error: $python has no mmssl_prior; run: source .venv/bin/activate, or set PYTHON=.venv/bin/python" >&2
        exit 1
    fi
}

# Starts the ranks of this machine. From the environment: NNODES (1), NODE_RANK, MASTER_ADDR,
# PORT (29500; on one machine a free one), PYTHON (python).
#   launch GPUS SCRIPT [arguments]
launch() {
    local gpus=$1 script=$2 nodes=${NNODES:-1} port=${PORT:-}
    shift 2
    positive GPUS "$gpus"
    positive NNODES "$nodes"
    if [ "$nodes" != 1 ] && { [ -z "${NODE_RANK:-}" ] || [ -z "${MASTER_ADDR:-}" ]; }; then
        echo "error: NNODES=$nodes needs NODE_RANK (0 to $((nodes - 1)), another on each machine) and MASTER_ADDR (the machine with NODE_RANK=0, the same on all)" >&2
        exit 2
    fi
    require_package
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
        "$tools/$script" "$@"
}

# Starts the ranks as tasks of SLURM, and waits; its status is theirs. From the environment: GPUS
# (8), GPUS_PER_NODE (GPUS, at most 8), CPUS_PER_TASK (5), SRUN_ARGS, MASTER_ADDR and PORT (found),
# PYTHON (python).
#   submit PARTITION JOB_NAME SCRIPT [arguments]
submit() {
    local partition=$1 job=$2 script=$3 gpus=${GPUS:-8} cpus=${CPUS_PER_TASK:-5} per_node tasks code name
    shift 3
    positive GPUS "$gpus"
    per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}
    positive GPUS_PER_NODE "$per_node"
    positive CPUS_PER_TASK "$cpus"
    if ! command -v srun >/dev/null; then
        echo "error: no srun here: run this on a machine of a SLURM cluster, or elsewhere use tools/dist_${script%.py}.sh" >&2
        exit 1
    fi
    require_package
    if [ -n "${PORT:-}" ]; then
        export MASTER_PORT=$PORT
    fi
    export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
    # SRUN_ARGS holds several words; given last, they win over those before.
    # shellcheck disable=SC2086
    srun \
        --partition="$partition" \
        --job-name="$job" \
        --gres="gpu:$per_node" \
        --ntasks="$gpus" \
        --ntasks-per-node="$per_node" \
        --cpus-per-task="$cpus" \
        --kill-on-bad-exit=1 \
        ${SRUN_ARGS:-} \
        "$python" -u "$tools/$script" "$@" --launcher slurm &
    tasks=$!
    # A signal to this script is one to the tasks.
    for name in INT TERM USR1; do
        # shellcheck disable=SC2064
        trap "kill -$name $tasks 2>/dev/null" "$name"
    done
    code=0
    wait "$tasks" || code=$?
    # A trapped signal ends the waiting, not the tasks.
    while kill -0 "$tasks" 2>/dev/null; do
        code=0
        wait "$tasks" || code=$?
    done
    trap - INT TERM USR1
    return "$code"
}

# Submits a training, and again with --resume as often as it makes room for another (status 75);
# in a batch job SLURM is asked to queue the job once more, which then comes back here. Without a
# new checkpoint in the work dir it is not tried again: something else is wrong.
#   submit_again WORK_DIR PARTITION JOB_NAME SCRIPT [arguments]
submit_again() {
    local code before last="$1/last_checkpoint" again=()
    shift
    if [ "${SLURM_RESTART_COUNT:-0}" != 0 ]; then
        again=(--resume)
    fi
    while true; do
        code=0
        before=$(ls -l "$last" 2>/dev/null && cat "$last") || true
        submit "$@" ${again[@]+"${again[@]}"} || code=$?
        if [ "$code" != 75 ]; then
            return "$code"
        fi
        if [ "$before" = "$(ls -l "$last" 2>/dev/null && cat "$last")" ]; then
            echo "error: preempted without a new checkpoint in ${last%/*}: not submitted again" >&2
            return "$code"
        fi
        if [ -n "${SLURM_JOB_ID:-}" ] && scontrol requeue "$SLURM_JOB_ID"; then
            echo "preempted; job $SLURM_JOB_ID is queued again" >&2
            return 0
        fi
        echo 'preempted; submitted again with --resume' >&2
        again=(--resume)
        sleep "${REQUEUE_DELAY:-10}"
    done
}
