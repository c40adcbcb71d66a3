"""``tools/study.py``: what is missing runs, once; what was interrupted or failed runs again."""

import csv
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest
import torch

from mmssl_prior.cli.study import main
from mmssl_prior.study import read_rows, read_study, study_rows
from tests.processes import forkserver_context
from tests.smoke import ROOT
from tests.study.tiny import CONFIG, STUDY, write_study


@pytest.fixture(scope='module')
def shared(tmp_path_factory):
    """A study, run once; a test that changes something takes a copy."""
    forkserver_context()
    folder = tmp_path_factory.mktemp('study')
    status = call(folder, write_study(folder))
    return folder, status


@pytest.fixture
def finished(shared, tmp_path):
    shutil.copytree(shared[0], tmp_path / 'copy')
    return tmp_path / 'copy'


def call(folder, study, *arguments):
    forkserver_context()
    work = ['--work-dir', str(folder / 'work'), '--results', str(folder / 'runs.csv')]
    return main([str(study), *work, '--slots', '2', *arguments])


def runs(folder):
    """Folders of the runs, and when their checkpoints were written."""
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.glob('work/*/epoch_1.pth')}


def test_a_study_runs_and_is_collected(shared):
    folder, status = shared
    assert status == 0
    rows = read_rows(folder / 'runs.csv')
    assert [row.options for row in rows] and len(rows) == len(runs(folder)) == 2
    for row in rows:
        assert set(row.metrics) >= {'digits/knn10', 'train/kl_to_prior', 'train/nmi'}
        assert 0 <= row.metrics['digits/knn10'] <= 1 and row.metrics['train/prototypes_used'] <= 8
        assert row.core_minutes > 0 and row.environment == 'SEED=0' and row.config == 'tiny.py'
        # The number is the one that tools/evaluate.py wrote.
        (results,) = folder.glob(f'work/{row.trained}/evaluation-*/results.json')
        (entry,) = json.loads(results.read_text())['results']
        assert row.metrics['digits/knn10'] == entry['scores']['knn']['10']
    assert rows[0].metrics['train/kl_to_prior'] != rows[1].metrics['train/kl_to_prior']
    records = json.loads((folder / 'runs.json').read_text())
    assert [record['evaluated'] for record in records] == [row.evaluated for row in rows]


def test_what_is_finished_is_not_run_again(finished, capsys):
    before, table = runs(finished), (finished / 'runs.csv').read_bytes()
    assert call(finished, finished / 'study.py') == 0
    assert '2 runs: 2 done, 0 missing' in capsys.readouterr().out
    shutil.rmtree(finished / 'work')
    # Another machine, with the table alone.
    assert call(finished, finished / 'study.py') == 0
    assert not (finished / 'work').exists() and before
    assert (finished / 'runs.csv').read_bytes() == table


def test_a_table_that_is_lost_is_collected_from_the_folders(finished):
    before, table = runs(finished), read_rows(finished / 'runs.csv')
    (finished / 'runs.csv').unlink()
    assert call(finished, finished / 'study.py') == 0
    assert runs(finished) == before
    assert sorted(read_rows(finished / 'runs.csv'), key=str) == sorted(table, key=str)


def test_another_evaluation_does_not_train_again(finished):
    before = runs(finished)
    text = STUDY.replace("measures=['knn']", "measures=['knn', 'spectrum']")
    study = write_study(finished, text, name='more.py')
    assert call(finished, study, '--only', 'priors') == 0
    assert runs(finished) == before
    old, new = read_rows(finished / 'runs.csv')[:2], read_rows(finished / 'runs.csv')[2:]
    assert {row.trained for row in old} == {row.trained for row in new} and len(new) == 2
    assert all('digits/rankme' in row.metrics for row in new)
    # Rows of another evaluation are not used beside these.
    rows = read_rows(finished / 'runs.csv')
    for path, has in ((study, True), (finished / 'study.py', False)):
        found = study_rows(read_study(path), rows)
        assert len(found) == 2 and all(('digits/rankme' in one.metrics) == has for one in found)


def test_rows_of_another_config_are_stale(finished, capsys):
    write_study(finished, config=CONFIG.replace('num_images=16', 'num_images=17'))
    assert call(finished, finished / 'study.py', '--dry-run') == 0
    out = capsys.readouterr().out
    assert '2 cells, 2 runs: 0 done, 2 missing' in out
    assert '2 rows of the table are of the same runs under other code' in out
    assert study_rows(read_study(finished / 'study.py'), read_rows(finished / 'runs.csv')) == []


def test_a_dry_run_writes_nothing_and_prints_the_commands(finished, capsys):
    text = STUDY.replace('seeds=1', 'seeds=2')
    study = write_study(finished, text, name='two.py')
    files = sorted(finished.rglob('*'))
    assert call(finished, study, '--dry-run') == 0
    assert sorted(finished.rglob('*')) == files
    out = capsys.readouterr().out
    assert out.startswith('Priors: Does the prior matter?')
    lines = [line.split() for line in out.splitlines()]
    assert ['pmsn', 'steep', '0', '1', '1', '1', '0'] in lines
    assert '4 cells, 4 runs: 2 done, 2 missing' in out
    (command,) = [line for line in out.splitlines() if 'exponent=1.0' in line]
    assert command.startswith('SEED=1 python tools/train.py ') and ' --resume ' in command
    # Medians of the same overrides under the other seed.
    total = sum(row.core_minutes for row in read_rows(finished / 'runs.csv'))
    assert f'estimated cost: {total:.1f} min of one core' in out


def test_the_printed_command_trains_the_same(finished, capsys, monkeypatch):
    """What a user would type makes the weights that the study has made."""
    from mmssl_prior.cli import train

    row = read_rows(finished / 'runs.csv')[0]
    (done,) = finished.glob(f'work/{row.trained}/epoch_1.pth')
    expected = torch.load(done, weights_only=False)['state_dict']
    monkeypatch.setenv('SEED', '0')
    words = row.options.split()
    flags = ['--work-dir', str(finished / 'typed'), '--resume', '--cfg-options', *words]
    assert train.main([str(finished / 'tiny.py'), *flags]) == 0
    typed = torch.load(finished / 'typed/epoch_1.pth', weights_only=False)['state_dict']
    torch.testing.assert_close(typed, expected, rtol=0, atol=0)


def test_a_run_that_fails_leaves_the_others_and_is_tried_again(tmp_path, capsys):
    broken = STUDY.replace("'model.head.prior.exponent': 1.0", "'model.head.embed_dim': 7")
    study = write_study(tmp_path, broken)
    assert call(tmp_path, study) == 1
    said = capsys.readouterr()
    assert 'prior=steep seed=0: FAILED (' in said.out and 'log.txt' in said.out
    assert 'error: 1 runs failed' in said.err and 'Traceback' not in said.err
    assert len(read_rows(tmp_path / 'runs.csv')) == 1
    assert call(tmp_path, study) == 1
    assert '2 runs: 1 done, 1 missing' in capsys.readouterr().out


def test_one_task_of_an_array_leaves_its_row_to_be_collected(tmp_path, capsys, monkeypatch):
    study = write_study(tmp_path)
    assert call(tmp_path, study, '--list-missing') == 0
    assert capsys.readouterr().out.split() == ['0-1']
    monkeypatch.setenv('SLURM_ARRAY_TASK_ID', '1')
    assert call(tmp_path, study) == 0
    monkeypatch.delenv('SLURM_ARRAY_TASK_ID')
    assert not (tmp_path / 'runs.csv').exists()
    (left,) = tmp_path.glob('work/*/row.json')
    assert json.loads(left.read_text())['options'].endswith('exponent=1.0')
    capsys.readouterr()
    assert call(tmp_path, study, '--list-missing') == 0
    assert capsys.readouterr().out.split() == ['0']
    assert call(tmp_path, study, '--task', '2') == 1
    assert 'the study has runs 0 to 1' in capsys.readouterr().err
    # A plain call takes it up, and runs the other.
    assert call(tmp_path, study) == 0
    assert '2 runs: 1 done, 1 missing' in capsys.readouterr().out
    with open(tmp_path / 'runs.csv', newline='') as file:
        assert len(list(csv.DictReader(file))) == 2


def test_an_interrupted_study_goes_on(tmp_path, capsys):
    """A signal ends it behind checkpoints, from which the next call goes on to the same end."""
    config = CONFIG.replace('max_epochs=1', 'max_epochs=3')
    study = write_study(tmp_path, config=config)

    def stop():
        until = time.monotonic() + 120
        while not list(tmp_path.glob('work/*/*/vis_data/scalars.json')):
            assert time.monotonic() < until
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=stop)
    thread.start()
    status = call(tmp_path, study)
    thread.join()
    said = capsys.readouterr()
    assert status == 75 and 'the same command goes on' in said.err
    stopped = list(tmp_path.glob('work/*/iter_*.pth'))
    assert stopped and 'stopped; the next call goes on' in said.out
    assert call(tmp_path, study) == 0
    assert len(read_rows(tmp_path / 'runs.csv')) == 2
    log = (stopped[0].parent / 'log.txt').read_text()
    assert f'Load checkpoint from {stopped[0]}' in log


def test_a_run_that_another_process_has_is_left_to_it(finished, capsys):
    (finished / 'runs.csv').unlink()
    for path in finished.glob('work/*/row.json'):
        path.unlink()
    before = runs(finished)
    first, _ = sorted(finished.glob('work/*/lock'))
    with open(first, 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert call(finished, finished / 'study.py') == 0
    said = capsys.readouterr().out
    assert said.count('another process has it') == 1 and '1 of 2 runs are in' in said
    assert [row.trained for row in read_rows(finished / 'runs.csv')] != [first.parent.name]
    assert call(finished, finished / 'study.py') == 0
    assert len(read_rows(finished / 'runs.csv')) == 2 and runs(finished) == before


def test_another_command_may_train(finished, capsys):
    """It gets the config, the arguments of tools/train.py, the seed and a GPU of the slots."""
    done = next(finished.glob('work/*/epoch_1.pth'))
    (finished / 'launch.sh').write_text(
        f'echo "$SEED $CUDA_VISIBLE_DEVICES $@" > {finished}/said.txt\n'
        f'cp {done} "$4" && echo "$4/epoch_1.pth" > "$4/last_checkpoint"\n'
    )
    launch = f"launch = 'sh {finished}/launch.sh {{config}} 8'\n"
    text = STUDY.replace("['own', 'steep']", "['own']")
    study = write_study(finished, text + launch, name='launched.py')
    before = set(runs(finished))
    assert call(finished, study, '--gpus', '3', '--slots', '1') == 0, capsys.readouterr()
    (new,) = set(runs(finished)) - before
    folder = finished / 'work' / new
    words = f'0 3 {finished}/tiny.py 8 --work-dir {folder} --resume --cfg-options '
    assert (finished / 'said.txt').read_text().startswith(words)
    assert read_rows(finished / 'runs.csv')[-1].trained == new


def test_a_report_of_what_is_there(finished):
    text = STUDY + "contrasts = [dict(title='Steepness', factor='prior', baseline='own')]\n"
    assert 'seeds=1' in text
    study, before = write_study(finished, text.replace('seeds=1', 'seeds=2')), runs(finished)
    assert call(finished, study, '--report', str(finished / 'pages')) == 0
    assert runs(finished) == before  # nothing was trained
    page = (finished / 'pages/results.md').read_text()
    assert '## Priors' in page and 'Does the prior matter?' in page and 'steep' in page


def test_the_script_ends_with_a_line(tmp_path):
    result = subprocess.run(
        [sys.executable, str(ROOT / 'tools/study.py'), 'gone.py'],
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1 and result.stdout == ''
    assert result.stderr.startswith('error: config gone.py') and result.stderr.count('\n') == 1
