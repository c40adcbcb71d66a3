"""Process groups on machines without a GPU.

MMEngine's launchers select a CUDA device first, which fails where there is
none. There the group is made here, over gloo, and MMEngine finds it made.
Where CUDA exists nothing is done: ``env_cfg.dist_cfg`` of the config decides.
"""

import atexit
import os
import sys
from datetime import timedelta

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.logging import print_log

from mmssl_prior.errors import UserError

__all__ = ['leave', 'prepare_distributed']

DEFAULT_TIMEOUT = 1800.0


def _local_ranks(launcher: str) -> int:
    """Ranks on this machine, as far as the launcher says (0: it does not)."""
    name = {
        'pytorch': 'LOCAL_WORLD_SIZE',
        'mpi': 'OMPI_COMM_WORLD_LOCAL_SIZE',
        'slurm': 'SLURM_NTASKS_PER_NODE',
    }[launcher]
    value = os.environ.get(name, '0')
    return int(value) if value.isdigit() else 0


def _set_rank_variables(launcher: str) -> None:
    """Gives torch's ``env://`` start the variables it reads."""
    if launcher == 'pytorch':
        missing = [name for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK') if name not in os.environ]
        if missing:
            raise UserError(
                f'--launcher pytorch: {", ".join(missing)} not set; '
                'start with: bash tools/dist_train.sh CONFIG GPUS'
            )
        return
    names = {
        'slurm': ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'),
        'mpi': ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_RANK'),
    }[launcher]
    for target, source in zip(('RANK', 'WORLD_SIZE', 'LOCAL_RANK'), names):
        if source not in os.environ:
            raise UserError(f'--launcher {launcher}: {source} is not set')
        os.environ[target] = os.environ[source]
    if 'MASTER_ADDR' not in os.environ:
        if int(os.environ['WORLD_SIZE']) > 1 and os.environ.get('SLURM_JOB_NUM_NODES', '1') != '1':
            raise UserError(f'--launcher {launcher}: MASTER_ADDR is not set')
        os.environ['MASTER_ADDR'] = '127.0.0.1'
    os.environ.setdefault('MASTER_PORT', '29500')


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
    _set_rank_variables(launcher)
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
    its work done (torch 2.15). So the exit handlers run, and the
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
