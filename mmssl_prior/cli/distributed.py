"""Process groups: who the ranks are under each launcher, and gloo where no GPU exists.

MMEngine's launchers select a CUDA device first, which fails where there is
none. There the group is made here, over gloo, and MMEngine finds it made.
Where CUDA exists ``env_cfg.dist_cfg`` of the config decides, and only the
variables that torch reads are completed.
"""

import atexit
import os
import subprocess
import sys
from datetime import timedelta

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.logging import print_log

from mmssl_prior.errors import UserError

__all__ = ['export_ranks', 'leave', 'prepare_distributed']

DEFAULT_TIMEOUT = 1800.0


RANK_VARIABLES = ('RANK', 'WORLD_SIZE', 'LOCAL_RANK')
LAUNCHER_VARIABLES = {
    'pytorch': RANK_VARIABLES,
    'slurm': ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'),
    'mpi': ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_RANK'),
}
START_WITH = {
    'pytorch': 'bash tools/dist_train.sh CONFIG GPUS',
    'slurm': 'bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR',
    'mpi': 'mpirun -np RANKS python tools/train.py CONFIG --launcher mpi',
}


def _local_ranks(launcher: str) -> int:
    """Ranks on this machine, as far as the launcher says (0: it does not)."""
    name = {
        'pytorch': 'LOCAL_WORLD_SIZE',
        'mpi': 'OMPI_COMM_WORLD_LOCAL_SIZE',
        'slurm': 'SLURM_NTASKS_PER_NODE',
    }[launcher]
    value = os.environ.get(name, '0')
    return int(value) if value.isdigit() else 0


def export_ranks(launcher: str) -> None:
    """Gives a launcher's ranks the names that torch and the messages here know."""
    for target, source in zip(RANK_VARIABLES, LAUNCHER_VARIABLES.get(launcher, ())):
        if source in os.environ:
            os.environ[target] = os.environ[source]


def _first_host(nodes: str) -> str:
    """The first machine of a SLURM node list (``node[3-5]``), which SLURM itself unfolds."""
    command = ['scontrol', 'show', 'hostnames', nodes]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    except (OSError, subprocess.CalledProcessError) as error:
        raise UserError(
            f'--launcher slurm: MASTER_ADDR is not set, and scontrol does not tell the first '
            f'machine of {nodes} ({error}); set MASTER_ADDR to its name'
        ) from error
    if not answer:
        raise UserError(f'--launcher slurm: scontrol knows no machine in {nodes}; set MASTER_ADDR')
    return answer[0]


def _of_step(step: str, job: str, default: str) -> str:
    """A variable of the step that srun started, which may be on some machines of the job only."""
    return os.environ.get(f'SLURM_STEP_{step}', os.environ.get(f'SLURM_{job}', default))


def _master_address(launcher: str) -> str:
    if launcher == 'slurm' and _of_step('NUM_NODES', 'JOB_NUM_NODES', '1') != '1':
        return _first_host(_of_step('NODELIST', 'NODELIST', ''))
    if launcher == 'mpi' and 0 < _local_ranks(launcher) < int(os.environ['WORLD_SIZE']):
        raise UserError('--launcher mpi: MASTER_ADDR is not set; set it to the machine of rank 0')
    return '127.0.0.1'


def _master_port() -> str:
    """A port that two SLURM jobs on one machine do not share."""
    job, step = (os.environ.get(f'SLURM_{name}', '') for name in ('JOB_ID', 'STEP_ID'))
    number = sum(int(value) for value in (job, step) if value.isdigit())
    return str(20000 + number % 10000) if job else '29500'


def _set_rank_variables(launcher: str) -> None:
    """Gives torch's ``env://`` start the variables it reads."""
    missing = [name for name in LAUNCHER_VARIABLES[launcher] if name not in os.environ]
    if missing:
        raise UserError(
            f'--launcher {launcher}: {", ".join(missing)} not set; start with: '
            f'{START_WITH[launcher]}'
        )
    export_ranks(launcher)
    if launcher == 'pytorch':
        return
    if 'MASTER_ADDR' not in os.environ:
        os.environ['MASTER_ADDR'] = _master_address(launcher)
    os.environ.setdefault('MASTER_PORT', _master_port())


def prepare_distributed(cfg: Config) -> None:
    """Makes the gloo process group where no accelerator exists; checks the ranks where one does.

    On CPU the model's wrapper must not name a device, so ``model_wrapper_cfg``
    is set to what the Runner would use, without one.

    Raises:
        UserError: If there are more ranks than GPUs, or the launcher's
            variables are missing.
    """
    launcher = cfg.get('launcher', 'none')
    if launcher == 'none':
        return
    _set_rank_variables(launcher)
    if torch.cuda.is_available():
        gpus, ranks = torch.cuda.device_count(), _local_ranks(launcher)
        if ranks > gpus:
            raise UserError(
                f'{ranks} ranks on a machine with {gpus} GPUs; start at most {gpus}, '
                'or hide the GPUs with CUDA_VISIBLE_DEVICES=-1'
            )
        return
    if hasattr(torch, 'accelerator') and torch.accelerator.is_available():
        return
    dist_cfg = cfg.get('env_cfg', {}).get('dist_cfg', {})
    seconds = float(dist_cfg.get('timeout', DEFAULT_TIMEOUT))
    if not dist.is_initialized():
        dist.init_process_group('gloo', timeout=timedelta(seconds=seconds))
    if cfg.get('model_wrapper_cfg') is None:
        cfg.model_wrapper_cfg = dict(
            type='MMDistributedDataParallel',
            device_ids=None,
            broadcast_buffers=False,
            find_unused_parameters=cfg.get('find_unused_parameters', False),
        )
    print_log(
        'No GPU: the ranks run on CPU over gloo, and the model is wrapped without a device.',
        logger='current',
    )


def leave(status: int) -> int:
    """Returns the status, or ends the process with it where a gloo group is open.

    Gloo's threads may still run when the interpreter goes down. After
    ``destroy_process_group`` about one run in five aborted that way with all
    its work done (torch 2.15), or hung (torch 2.5). So the exit handlers run, and the
    interpreter's own teardown is left out.
    """
    if not (dist.is_available() and dist.is_initialized() and dist.get_backend() == 'gloo'):
        return status
    if status == 0:
        # The first rank may hold the store that the others still talk to.
        dist.barrier()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
