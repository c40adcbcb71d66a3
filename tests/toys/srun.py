"""A stand-in for SLURM's srun: starts the tasks here, each with the variables that SLURM sets.

Takes the flags that the scripts use and stops at an unknown one. The options
and the command are left as JSON in the file that SRUN_LOG names.
"""

import json
import os
import subprocess
import sys
import time

FLAGS = {
    'partition',
    'job-name',
    'gres',
    'ntasks',
    'ntasks-per-node',
    'cpus-per-task',
    'kill-on-bad-exit',
    'time',
}


def parse(arguments):
    options = {}
    while arguments and arguments[0].startswith('-'):
        name, separator, value = arguments.pop(0).removeprefix('--').partition('=')
        if name not in FLAGS or not separator:
            sys.exit(f"srun: unrecognized option '--{name}'")
        options[name] = value
    return options, arguments


def variables(options, task):
    tasks, per_node = int(options['ntasks']), int(options['ntasks-per-node'])
    nodes = -(-tasks // per_node)
    return {
        'SLURM_JOB_ID': '4711',
        'SLURM_STEP_ID': str(os.getpid() % 9000),
        'SLURM_JOB_NAME': options['job-name'],
        'SLURM_JOB_PARTITION': options['partition'],
        'SLURM_JOB_NUM_NODES': str(nodes),
        'SLURM_NODELIST': f'node[1-{nodes}]' if nodes > 1 else 'node1',
        'SLURM_NTASKS': str(tasks),
        'SLURM_NTASKS_PER_NODE': str(per_node),
        'SLURM_PROCID': str(task),
        'SLURM_LOCALID': str(task % per_node),
        'SLURM_NODEID': str(task // per_node),
    }


def main():
    options, command = parse(sys.argv[1:])
    with open(os.environ['SRUN_LOG'], 'w') as file:
        json.dump(dict(options=options, command=command), file)
    tasks = [
        subprocess.Popen(command, env={**os.environ, **variables(options, task)})
        for task in range(int(options['ntasks']))
    ]
    while True:
        codes = [task.poll() for task in tasks]
        failed = [code for code in codes if code]
        if failed and options.get('kill-on-bad-exit') == '1':
            for task in tasks:
                task.terminate()
        if None not in codes:
            return max(abs(code) for code in codes)
        time.sleep(0.05)


if __name__ == '__main__':
    sys.exit(main())
