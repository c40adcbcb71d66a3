"""tools/benchmark/data.py, on files of a few pixels."""

import importlib.util
import json

import pytest

from tests.smoke import ROOT


@pytest.fixture(scope='module')
def tool():
    path = ROOT / 'tools/benchmark/data.py'
    spec = importlib.util.spec_from_file_location('data_benchmark', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SMALL = '--sizes 64x48 --files 2 --images 2 --rounds 2 --batch-size 2 --batches 2'.split()


def test_table(tool, capsys):
    tool.main([*SMALL, '--workers', '1', '--device', 'cpu'])
    title, heading, row = capsys.readouterr().out.splitlines()
    assert 'cores' in title
    assert 'pillow ms' in heading and 'on device ms' in heading and 'opencv img/s' in heading
    size, *numbers = row.split()
    assert size == '64x48' and len(numbers) == 1 + 3 * 2 + 1 + 3
    assert all(float(number) >= 0 for number in numbers)


def test_json_of_a_config(tool, capsys):
    config = str(ROOT / 'configs/simclr/simclr_r50_in1k.py')
    backends = ['--backends', 'opencv', 'pillow', '--workers', '0', '--device', '']
    rows = tool.main([*SMALL, '--config', config, *backends, '--json'])
    printed = json.loads(capsys.readouterr().out)
    assert printed['rows'] == rows and printed['machine']
    assert set(rows[0]) == {
        'size', 'bytes', 'opencv_ms', 'opencv_ratio', 'pillow_ms', 'pillow_ratio'
    }  # fmt: skip
    assert rows[0]['pillow_ratio'] == 1
