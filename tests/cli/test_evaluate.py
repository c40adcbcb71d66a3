"""``tools/evaluate.py``: any checkpoint, tasks with and without data, taken up again."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from mmssl_prior.cli.evaluate import main
from mmssl_prior.cli.probe_by_config import config_of, fitted_config
from mmssl_prior.config import load_config
from mmssl_prior.errors import UserError
from mmssl_prior.evaluation import downstream, linear_probe, one_task, task_data
from mmssl_prior.evaluation import tasks as declarations
from mmssl_prior.evaluation.chunk_rows import ChunkRows
from mmssl_prior.evaluation.encoder import build_encoder
from mmssl_prior.evaluation.encoder_source import read_source
from mmssl_prior.evaluation.tasks import EMBEDDED, SEVEN, TASKS
from tests.evaluation.checkpoints import CLASSIFIER, MSN, PREPROCESSOR, RESNET, save_checkpoint
from tests.miniatures import (
    make_cifar100,
    make_clevr,
    make_imagenet,
    make_inaturalist2018,
    make_kitti,
    make_places205,
)
from tests.smoke import ROOT

LINE = 'Linear probe, top-1 in %'


@pytest.fixture(scope='module')
def checkpoints(tmp_path_factory):
    """Two seeds of one run, of MSN on digits, and others."""
    root = tmp_path_factory.mktemp('checkpoints')
    loader = dict(train_dataloader=dict(dataset=dict(type='DigitsLT', class_seed=1, pipeline=[])))
    for seed in (0, 1):
        save_checkpoint(root / f'seed{seed}' / 'epoch_3.pth', MSN, seed, **loader)
    loose = dict(data_preprocessor=PREPROCESSOR)
    save_checkpoint(root / 'classifier' / 'epoch_3.pth', CLASSIFIER, **loose)
    save_checkpoint(root / 'resnet' / 'epoch_3.pth', RESNET, **loose)
    return root


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """CLEVR and KITTI where they are looked for."""
    root = tmp_path_factory.mktemp('data')
    make_clevr(root / 'CLEVR_v1.0', [(8.0,) * 3, (8.2,) * 4, (11.0,) * 10])
    make_kitti(root / 'kitti')
    return root


@pytest.fixture
def run(checkpoints, data, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv('WORLD_SIZE', raising=False)
    short = declarations.ProbeRecipe(epochs=2, lr=0.1)
    for name, task in TASKS.items():
        monkeypatch.setitem(TASKS, name, replace(task, recipe=short))

    def call(*arguments, names=('seed0',), root=data, out='out'):
        files = [str(checkpoints / name / 'epoch_3.pth') for name in names]
        status = main(
            [*files, '--data-root', str(root), '--out', str(tmp_path / out), '--workers', '0']
            + list(arguments)
        )
        return status, capsys.readouterr()

    call.results = lambda out='out': json.loads((tmp_path / out / 'results.json').read_text())
    return call


def test_tasks_whose_data_are_there(run, tmp_path, monkeypatch):
    extracted = []
    original = ChunkRows.chunks
    monkeypatch.setattr(
        ChunkRows,
        'chunks',
        lambda self, *args: extracted.append(self.name.split(',')[0]) or original(self, *args),
    )
    status, said = run('--tasks', 'all', 'digits')
    assert status == 0, said.err
    results = run.results()
    assert [entry['task'] for entry in results['results']] == [
        'clevr-count',
        'clevr-dist',
        'kitti-dist',
        'digits',
    ]
    assert [entry['task'] for entry in results['skipped']] == [
        'imagenet',
        'inat18',
        'cifar100',
        'places205',
    ]
    # One line each, with the path that was expected.
    (line,) = [x for x in said.out.splitlines() if x.startswith('skipped imagenet')]
    assert line.endswith('imagenet/train does not exist')
    assert '| seed0/epoch_3 |' in said.out and '[1/4] Clevr/Count: features of the 3' in said.out
    assert (tmp_path / 'out/report.md').read_text() in said.out
    assert not list((tmp_path / 'out').rglob('*.npy'))
    assert results['checkpoints'][0] | dict(path='', sha256='') == dict(
        name='seed0/epoch_3',
        path='',
        sha256='',
        group='tiny (epoch 3)',
        seed=0,
        encoder='MSNViT',
        image_size=32,
    )
    scores = results['results'][-1]['scores']
    assert set(scores) == {
        'linear',
        'knn',
        'knn_groups',
        'groups_of',
        'low_shot',
        'rankme',
        'spectrum',
        'alignment',
        'alignment_images',
        'uniformity',
        'train_images',
        'test_images',
        'width',
    }
    assert (scores['train_images'], scores['test_images'], scores['width']) == (250, 250, 24)
    assert set(scores['knn']) == {'10', '20', '100', '200'}
    assert set(scores['linear']['heads']) == {'bn', 'plain'}
    # The digits that it was trained on are long-tailed, those of the probe are not.
    assert set(scores['linear']['groups']) == {'many', 'medium', 'few'}
    assert set(scores['knn_groups']['20']) == {'many', 'medium', 'few'}
    assert scores['groups_of'] == dict(
        source='pretraining',
        reason='what the encoder was trained on (DigitsLT)',
        few_below=20,
        many_above=100,
    )
    of_kitti = results['results'][2]['scores']['groups_of']
    assert of_kitti['source'] == 'probe'
    assert of_kitti['reason'].endswith('the encoder was trained on other data (DigitsLT)')
    assert 'and between; counted in what the encoder was trained on (DigitsLT)' in said.out
    assert scores['alignment_images'] == 250 and 0 < scores['alignment'] < 4
    assert '| seed0/epoch_3 | alignment |' in said.out
    # CLEVR's two tasks ask of the same images, which pass the encoder once.
    assert extracted == ['Clevr/Count'] * 4 + ['KITTI/Dist'] * 4 + ['Digits'] * 4
    assert not list((tmp_path / 'out/seed0/epoch_3').glob('features*'))


def test_some_measures(run):
    status, said = run('--tasks', 'digits', '--measures', 'knn', 'linear')
    assert status == 0, said.err
    scores = run.results()['results'][0]['scores']
    assert set(scores) == {
        *('linear', 'knn', 'knn_groups', 'groups_of'),
        *('train_images', 'test_images', 'width'),
    }
    assert 'k-NN, top-1' in said.out and 'RankMe' not in said.out and 'Alignment' not in said.out
    # Other measures are another result.
    status, said = run('--tasks', 'digits', '--measures', 'spectrum')
    assert status == 0 and 'RankMe' in said.out and 'k-NN' not in said.out


def test_an_interrupted_evaluation_goes_on(run, tmp_path, monkeypatch):
    original = one_task.score

    def interrupted(features, num_classes, *args):
        if num_classes == 4:
            raise KeyboardInterrupt
        return original(features, num_classes, *args)

    monkeypatch.setattr(one_task, 'score', interrupted)
    tasks = ('--tasks', 'clevr-count', 'kitti-dist')
    status, said = run(*tasks)
    assert status == 130 and 'the same command continues where this one stopped' in said.err
    assert [entry['task'] for entry in run.results()['results']] == ['clevr-count']

    scored = []

    def counted(features, num_classes, *args):
        scored.append(num_classes)
        return original(features, num_classes, *args)

    monkeypatch.setattr(one_task, 'score', counted)
    status, said = run(*tasks)
    assert status == 0 and scored == [4] and 'Clevr/Count: done before' in said.out
    first = run.results()

    # Nothing is left to do: no encoder is built, and the results are the same.
    monkeypatch.setattr(downstream, 'build_encoder', None)
    status, said = run(*tasks)
    assert status == 0 and run.results() == first and scored == [4]
    # Another setting is another result.
    monkeypatch.setattr(downstream, 'build_encoder', build_encoder)
    assert run('--groups', '1', '2', '--tasks', 'clevr-count')[0] == 0 and scored == [4, 8]


def test_a_download_that_grows_is_noticed(run, tmp_path):
    """Under the same root: the list is compared, not the folder's name."""
    make_clevr(tmp_path / 'd/CLEVR_v1.0', [(8.0,) * 3, (8.2,) * 4])
    command = ('--tasks', 'clevr-count')
    assert run(*command, root=tmp_path / 'd')[0] == 0
    first = run.results()['results'][0]
    shutil.rmtree(tmp_path / 'd')
    make_clevr(tmp_path / 'd/CLEVR_v1.0', [(8.0,) * 3, (8.2,) * 4, (11.0,) * 10])
    status, said = run(*command, root=tmp_path / 'd')
    assert status == 0 and 'done before' not in said.out
    assert 'Clevr/Count: other images or labels than before; it is scored again' in said.out
    second = run.results()['results'][0]
    assert [entry['scores']['train_images'] for entry in (first, second)] == [2, 3]
    assert first['key'] == second['key'] and first['data'] != second['data']
    assert 'done before' in run(*command, root=tmp_path / 'd')[1].out


def test_a_checkpoint_of_which_every_task_failed_is_missed(run, tmp_path, monkeypatch):
    original = one_task.score

    def failing(features, *args):
        if len(scored) == 1:
            scored.append(1)
            raise UserError('no memory left')
        scored.append(0)
        return original(features, *args)

    scored = []
    monkeypatch.setattr(one_task, 'score', failing)
    status, said = run('--tasks', 'kitti-dist', names=('seed0', 'seed1'))
    assert status == 1 and '- kitti-dist of seed1/epoch_3: no memory left' in said.out
    results = run.results()
    assert [c['name'] for c in results['checkpoints']] == ['seed0/epoch_3', 'seed1/epoch_3']
    (entry,) = [e for e in results['summary'] if e['table'] == 'linear']
    assert (entry['count'], entry['of']) == (1, 2)
    assert ', 1 of 2 |' in said.out and 'no task finished' in said.out


def test_more_heads(run, monkeypatch):
    """Those of the options stand beside the head of the table, which they do not change."""
    assert run('--tasks', 'kitti-dist')[0] == 0
    plain = run.results()['results'][0]['scores']['linear']
    options = ('--probe-features', 'cls2', '--lr-multipliers', '0.3')
    status, said = run('--tasks', 'kitti-dist', *options)
    assert status == 0 and 'done before' not in said.out
    linear = run.results()['results'][0]['scores']['linear']
    names = ('bn', 'plain', 'cls2_bn', 'cls2_plain')
    assert set(linear['heads']) == {
        f'{name}_x{factor}' for name in names for factor in ('1', '0.3')
    }
    assert (plain['head'], linear['head']) == ('bn', 'bn_x1')
    assert linear['top1'] == plain['top1'] == linear['heads']['bn_x1']['top1']
    assert [n for n, head in linear['heads'].items() if head['in_table']] == ['bn_x1']
    assert '## Linear probe, best of the other heads' in said.out
    status, said = run('--tasks', 'kitti-dist', '--probe-features', 'cls9')
    assert status == 1 and 'MSNViT has 2 blocks, not 9' in said.out
    status, said = run('--probe-features', 'last')
    assert status == 1 and "unknown feature 'last'" in said.err
    with pytest.raises(SystemExit):
        run('--lr-multipliers', '0')


def test_several_checkpoints(run):
    status, said = run('--tasks', 'kitti-dist', names=('seed0', 'seed1', 'classifier', 'resnet'))
    assert status == 0, said.err
    results = run.results()
    encoders = [(entry['encoder'], entry['image_size']) for entry in results['checkpoints']]
    assert encoders[1:] == [('MSNViT', 32), ('VisionTransformer', 32), ('ResNet', 224)]
    values = {
        entry['checkpoint']: entry['scores']['linear']['top1'] for entry in results['results']
    }
    # All four say that they are of the run 'tiny', but only the seeds have one config.
    (entry,) = [e for e in results['summary'] if e['table'] == 'linear']
    seeds = [values['seed0/epoch_3'], values['seed1/epoch_3']]
    assert entry['mean'] == pytest.approx(sum(seeds) / 2) and entry['count'] == 2
    assert (entry['min'], entry['max']) == (min(seeds), max(seeds))
    assert re.search(r'\| \*\*tiny \(epoch 3\) \[\w{6}\]\*\*, mean \(range\) \|', said.out)
    assert len({checkpoint['group'] for checkpoint in results['checkpoints']}) == 3


def test_probe_features_are_those_of_a_hand_extraction(run, checkpoints, monkeypatch):
    """k-NN of the report against the whole chain by hand; the probe against another solver."""
    monkeypatch.setitem(TASKS, 'digits', replace(TASKS['digits'], recipe=declarations.SMALL))
    assert run('--tasks', 'digits', '--keep-features')[0] == 0
    from mmssl_prior.datasets import DigitsLT
    from mmssl_prior.evaluation import knn_classify, top1

    encoder = build_encoder(read_source(str(checkpoints / 'seed0' / 'epoch_3.pth')))
    mean, std = (torch.tensor(PREPROCESSOR[key])[:, None, None] for key in ('mean', 'std'))

    def features(split):
        data = DigitsLT(split)
        images = torch.stack([torch.from_numpy(data[i]['img'].copy()) for i in range(len(data))])
        images = (images.permute(0, 3, 1, 2)[:, [2, 1, 0]].float() - mean) / std
        labels = torch.tensor([data[i]['gt_label'] for i in range(len(data))])
        with torch.no_grad():
            return encoder.model.target_backbone(images)[-1], labels

    (bank, bank_labels), (queries, labels) = features('probe'), features('test')
    by_hand = top1(knn_classify(queries, bank, bank_labels, 10)[10], labels)
    scores = run.results()['results'][0]['scores']
    assert scores['knn']['10'] == pytest.approx(by_hand)
    other = linear_probe(bank, bank_labels, queries, labels).top1
    assert other > 0.3 and scores['linear']['top1'] == pytest.approx(other, abs=0.08)


def test_without_any_data_the_embedded_tasks_run(run, tmp_path, monkeypatch):
    monkeypatch.setattr(declarations, 'GROUPS', dict(all=SEVEN, embedded=('digits',)))
    status, said = run('--tasks', 'all', root=tmp_path / 'nothing')
    assert status == 0, said.err
    assert 'none of the seven tasks has its data: the embedded tasks run instead' in said.out
    assert [entry['task'] for entry in run.results()['results']] == ['digits']
    assert len(run.results()['skipped']) == 7


def test_random_weights_of_timm_are_said(run):
    status, said = run('timm:test_vit', '--tasks', 'kitti-dist', '--image-size', '160', names=())
    assert status == 0, said.err
    assert 'test_vit/random: random weights, no checkpoint was named' in said.out
    assert 'test_vit/random | random weights |' in said.out


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('--tasks', 'cifar10'), "unknown task 'cifar10'"),
        (('--tasks', 'cifar100'), r'cifar-100-python/train does not exist; .* --data cifar100=DIR'),
        (('--data', 'digits=x'), '--data digits=x: expected NAME=PATH'),
        (
            ('--measures', 'knn', '--lr-multipliers', '3'),
            '--lr-multipliers is for linear, which is not among the --measures',
        ),
        (('--low-shot-list', 'kitti-dist=gone'), 'gone: no such file'),
        (('--data', 'kitti-dist=a', '--data', 'kitti-dist=b'), '--data names kitti-dist twice'),
        (('--config', 'gone.py'), 'gone.py: no such file'),
    ],
)
def test_wrong_arguments(run, arguments, message):
    status, said = run(*arguments)
    assert status == 1 and said.err.startswith('error: ')
    with pytest.raises(UserError, match=message):
        raise UserError(said.err)


def test_groups_that_overlap_are_refused_before_the_work(run, capsys):
    with pytest.raises(SystemExit):
        run('--tasks', 'digits', '--groups', '200', '20')
    assert '--groups 200 20: a class could be few-shot and many-shot' in capsys.readouterr().err


def test_a_checkpoint_of_which_nothing_fits(run, checkpoints, tmp_path):
    path = tmp_path / 'other' / 'epoch_3.pth'
    path.parent.mkdir()
    content = torch.load(checkpoints / 'seed0' / 'epoch_3.pth', weights_only=False)
    content['state_dict'] = {f'net.{k}': v for k, v in content['state_dict'].items()}
    torch.save(content, path)
    status, said = run(str(path), '--tasks', 'kitti-dist', names=())
    assert status == 1 and 'no weight of target_backbone is in it' in said.err
    assert '(1, 17, 24) (missing)' in said.err and not (tmp_path / 'out/results.json').exists()
    # Behind one that fits it is said before that one's tasks begin.
    status, said = run('--tasks', 'kitti-dist', names=('seed0', path.parent))
    assert status == 1 and 'no weight of target_backbone is in it' in said.err
    assert 'features of' not in said.out


def cut(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def truncated_test_image(root):
    cut(next((root / 'images/val').glob('*.png')))


def truncated_train_image(root):
    cut(next((root / 'images/train').glob('*.png')))


def no_objects(root):
    path = root / 'scenes/CLEVR_val_scenes.json'
    content = json.loads(path.read_text())
    content['scenes'][1]['objects'] = []
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (truncated_test_image, '1 images of the test split cannot be decoded; the first: '),
        (no_objects, r'CLEVR_val_scenes.json: scenes[1] (CLEVR_val_000001.png): 0 objects'),
        (truncated_train_image, None),
    ],
)
def test_a_task_that_fails_does_not_keep_the_others(run, tmp_path, damage, message):
    make_clevr(tmp_path / 'd/CLEVR_v1.0', [(8.0,) * 3, (8.2,) * 4, (11.0,) * 10])
    make_kitti(tmp_path / 'd/kitti')
    damage(tmp_path / 'd/CLEVR_v1.0')
    status, said = run('--tasks', 'clevr-count', 'kitti-dist', root=tmp_path / 'd')
    results = run.results()
    assert results['results'][-1]['task'] == 'kitti-dist'
    if message is None:
        assert status == 0
        assert '1 images of the train split cannot be decoded and are left out' in said.out
        assert results['results'][0]['scores']['train_images'] == 2
        return
    assert status == 1 and '1 evaluations failed: clevr-count' in said.err
    (failure,) = results['failed']
    assert message in failure['reason'] and message in said.out


def test_images_in_both_splits(run, tmp_path):
    root = make_places205(tmp_path / 'd/places205')
    lists = root / 'trainvalsplit_places205'
    (lists / 'val_places205.csv').write_text((lists / 'train_places205.csv').read_text())
    status, said = run('--tasks', 'places205', root=tmp_path / 'd')
    assert status == 1 and '6 images are in both splits, the first: ' in said.out
    assert 'tools/check_dataset.py places205' in said.out
    assert 'features of' not in said.out


def test_published_lists(run, tmp_path, data):
    names = sorted(path.name for path in (data / 'CLEVR_v1.0/images/train').iterdir())
    for name, chosen in (('a', names[:2]), ('b', names[1:])):
        (tmp_path / name).write_text('\n'.join(chosen))
    flag = ('--low-shot-list', *(f'clevr-count={tmp_path / name}' for name in 'ab'))
    status, said = run('--tasks', 'clevr-count', *flag)
    assert status == 0 and '| 1 per class, published |' in said.out
    assert '- Clevr/Count, 1 per class, published: 2 lists' in said.out
    scores = run.results()['results'][0]['scores']
    (entry, *_), files = scores['low_shot']['published 1'], scores['low_shot_lists']['published 1']
    assert files == [str(tmp_path / name) for name in 'ab']
    first, second = entry['top1']
    assert entry['mean'] == pytest.approx((first + second) / 2)
    assert entry['std'] == pytest.approx(abs(first - second) / 2**0.5)
    # The lists' content counts, not their names.
    assert 'done before' in run('--tasks', 'clevr-count', *flag)[1].out
    (tmp_path / 'b').write_text(names[2])
    assert 'done before' not in run('--tasks', 'clevr-count', *flag)[1].out


@pytest.mark.parametrize(
    ('protocol', 'name', 'is_vit', 'config'),
    [
        ('vissl', 'inat18', True, 'vissl_vit-b16_inat18'),
        ('vissl', 'places205', False, 'vissl_r50_places205'),
        ('vissl', 'digits', True, None),
        ('msn', 'imagenet', True, 'msn-linear_vit-s16_in1k'),
        ('msn', 'imagenet', False, None),
        ('msn', 'cifar100', True, None),
    ],
)
def test_which_config_trains_the_probe(protocol, name, is_vit, config):
    found = config_of(protocol, TASKS[name], is_vit)
    assert found == (config and f'mmssl_prior::benchmarks/linear/{config}.py')


@pytest.mark.parametrize('name', SEVEN)
@pytest.mark.parametrize('family', ['seed0', 'resnet'])
def test_configs_take_the_encoder(checkpoints, name, family):
    source = read_source(str(checkpoints / family / 'epoch_3.pth'))
    encoder = build_encoder(source)
    cfg = load_config(config_of('vissl', TASKS[name], encoder.is_vit))
    before = cfg.to_dict()
    fitted = fitted_config(cfg, source, encoder, '/data', world_size=2)
    assert cfg.to_dict() == before
    assert fitted.optim_wrapper.optimizer.lr == pytest.approx(0.01 / 4)
    assert {fitted[f'{x}_dataloader'].dataset.data_root for x in ('train', 'val')} == {'/data'}
    backbone = fitted.model.backbone
    assert backbone.init_cfg.prefix == f'{encoder.parts[0]}.'
    assert backbone.init_cfg.checkpoint == source.path
    widths = [(head['feature'], head['in_channels']) for head in fitted.model.heads]
    if family == 'seed0':
        # Two blocks: what reads four is left out.
        assert widths == [('cls', 24), ('cls', 24)]
        assert '224' not in str(fitted.val_dataloader.dataset.pipeline)
    else:
        assert widths[-2:] == [('avg', 64), ('avg', 64)]
        if name == 'places205':
            assert widths[0] == ('avg6x6', 256) and fitted.model.heads[0].norm_channels == 64
    assert fitted.model.data_preprocessor == dict(
        type='SelfSupDataPreprocessor', to_rgb=True, mean=PREPROCESSOR['mean'],
        std=PREPROCESSOR['std'],
    )  # fmt: skip


@pytest.fixture
def two_epochs(monkeypatch):
    """Configs of probes, cut to two epochs."""
    from mmssl_prior.cli import probe_by_config

    def short(name):
        cfg = load_config(name)
        cfg.train_cfg.update(max_epochs=2, val_interval=2)
        return cfg

    monkeypatch.setattr(probe_by_config, 'load_config', short)


def probe_folders(tmp_path, task, name='seed0/epoch_3', out='out'):
    return sorted((tmp_path / out / name / task / 'linear').iterdir())


def heads_of(path):
    state = torch.load(path, weights_only=False)['state_dict']
    return {key: value for key, value in state.items() if key.startswith('heads.')}


def test_the_probe_by_config(run, checkpoints, tmp_path, two_epochs):
    status, said = run('--tasks', 'clevr-count', '--protocol', 'vissl', '--groups', '1', '1')
    assert status == 0, said.err
    scores = run.results()['results'][0]['scores']
    linear = scores['linear']
    assert set(linear['heads']) == {'cls_bn', 'cls'} and 0 <= linear['top1'] <= 1
    assert all(head['in_table'] for head in linear['heads'].values()) and 'others' not in linear
    assert linear['top1'] == max(head['top1'] for head in linear['heads'].values())
    assert linear['top1'] == linear['heads'][linear['head']]['top1']
    assert f'- seed0/epoch_3: Clevr/Count {linear["head"]}' in said.out
    (probe,) = probe_folders(tmp_path, 'clevr-count')
    assert (probe / 'epoch_2.pth').is_file() and 'vissl_vit-b16_clevr-count.py' in said.out
    # Other weights of the same name: a new probe, not the finished one of the old weights.
    state = torch.load(checkpoints / 'seed1/epoch_3.pth', weights_only=False)
    (tmp_path / 'seed0').mkdir()
    torch.save(state, tmp_path / 'seed0/epoch_3.pth')
    status, _ = run('--tasks', 'clevr-count', '--protocol', 'vissl', names=(tmp_path / 'seed0',))
    assert status == 0 and len(probe_folders(tmp_path, 'clevr-count')) == 2
    # MSN's protocol has another feature for k-NN and low-shot, and no probe but on ImageNet.
    status, said = run('--tasks', 'clevr-count', '--protocol', 'msn', out='msn')
    assert status == 0 and 'the protocol msn has no linear probe for it' in said.out
    scores = run.results('msn')['results'][0]['scores']
    assert 'linear' not in scores and scores['groups_of']['source'] == 'probe'


def test_vissls_heads_and_ours(run, tmp_path, two_epochs):
    """Of a ResNet the head without batch norm is ours: never the number of the table."""
    options = ('--image-size', '64', '--probe-features', 'avg2x2', '--lr-multipliers', '3')
    command = ('--tasks', 'kitti-dist', '--protocol', 'vissl', '--groups', '2', '2')
    status, said = run(*command, *options, names=('resnet',))
    assert status == 0, said.err
    linear = run.results()['results'][0]['scores']['linear']
    names = ('avg_bn', 'avg', 'avg2x2_bn', 'avg2x2')
    assert set(linear['heads']) == {f'{name}_x{factor}' for name in names for factor in (1, 3)}
    assert [n for n, head in linear['heads'].items() if head['in_table']] == ['avg_bn_x1']
    assert (linear['head'], linear['top1']) == ('avg_bn_x1', linear['heads']['avg_bn_x1']['top1'])
    assert linear['others']['top1'] == max(
        head['top1'] for head in linear['heads'].values() if not head['in_table']
    )
    assert f'KITTI/Dist {linear["others"]["head"]}' in said.out
    # Many, medium and few of each head, from the counts of the training split.
    counts = run.results()['results'][0]['scores']['groups_of']
    assert counts['source'] == 'probe' and counts['few_below'] == 2
    (probe,) = probe_folders(tmp_path, 'kitti-dist', 'resnet/epoch_3')
    (log,) = probe.glob('*/*.log')
    assert 'avg_x1 (extra) ' in log.read_text()


def test_an_interrupted_probe_goes_on(run, tmp_path, two_epochs, monkeypatch):
    from mmengine.hooks import CheckpointHook

    command = ('--tasks', 'kitti-dist', '--protocol', 'vissl')
    assert run(*command, out='whole')[0] == 0
    original = CheckpointHook.after_train_epoch

    def interrupted(self, runner):
        original(self, runner)
        raise KeyboardInterrupt

    monkeypatch.setattr(CheckpointHook, 'after_train_epoch', interrupted)
    status, said = run(*command)
    assert status == 130 and 'the same command continues' in said.err
    (folder,) = probe_folders(tmp_path, 'kitti-dist')
    assert [path.name for path in folder.glob('*.pth')] == ['epoch_1.pth']
    trained = []

    def counted(self, runner):
        original(self, runner)
        trained.append(runner.epoch + 1)

    monkeypatch.setattr(CheckpointHook, 'after_train_epoch', counted)
    assert run(*command)[0] == 0 and trained == [2]
    assert probe_folders(tmp_path, 'kitti-dist') == [folder]
    (whole,) = probe_folders(tmp_path, 'kitti-dist', out='whole')
    one, two = (heads_of(path / 'epoch_2.pth') for path in (folder, whole))
    assert one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)
    entries = [run.results(out)['results'][0]['scores']['linear'] for out in ('out', 'whole')]
    assert entries[0] == entries[1]


def test_random_weights_are_the_encoders_own(run, tmp_path, two_epochs):
    """Those of the other scores, whatever the generators were at when the probe was built."""
    command = ('timm:test_vit', '--tasks', 'kitti-dist', '--protocol', 'vissl')
    for out in ('one', 'two'):
        torch.manual_seed(len(out) if out == 'one' else 99)
        assert run(*command, names=(), out=out)[0] == 0
    folders = [
        probe_folders(tmp_path, 'kitti-dist', 'test_vit/random', out) for out in ('one', 'two')
    ]
    states = [torch.load(f / 'epoch_2.pth', weights_only=False)['state_dict'] for (f,) in folders]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    own = build_encoder(read_source('timm:test_vit')).backbone.state_dict()
    kept = [key for key in own if f'backbone.{key}' in states[0]]
    assert len(kept) > 20
    assert all(torch.equal(own[key], states[0][f'backbone.{key}']) for key in kept)


def test_encoders_without_tokens_take_the_recipe_of_resnets(tmp_path):
    swin = dict(
        RESNET,
        backbone=dict(
            type='SwinTransformer',
            arch=dict(embed_dims=8, depths=[1, 1], num_heads=[1, 2]),
            img_size=64,
            out_indices=(1,),
            pad_small_map=True,
        ),
    )
    save_checkpoint(tmp_path / 'epoch_1.pth', swin, data_preprocessor=PREPROCESSOR)
    source = read_source(str(tmp_path / 'epoch_1.pth'))
    encoder = build_encoder(source, 64)
    assert not encoder.is_vit
    cfg = load_config(config_of('vissl', TASKS['kitti-dist'], encoder.is_vit))
    fitted = fitted_config(cfg, source, encoder, '/data')
    assert [(head['feature'], head['in_channels']) for head in fitted.model.heads] == [
        ('avg', 16),
        ('avg', 16),
    ]
    # Neither tokens nor a map.
    mixer = build_encoder(read_source('timm:mixer_s32_224'))
    assert not mixer.is_vit
    with pytest.raises(UserError, match=r'TIMMBackbone at 224 px has none of .*\(avg\)'):
        fitted_config(cfg, read_source('timm:mixer_s32_224'), mixer, '/data')
    # Only what is ours would be left.
    places = load_config(config_of('vissl', TASKS['places205'], encoder.is_vit))
    with pytest.raises(UserError, match=r'at 32 px has none of .*\(avg6x6\).*--image-size'):
        fitted_config(places, source, build_encoder(source, 32), '/data')


def test_a_probe_that_fails_leaves_the_other_scores(run, tmp_path, monkeypatch):
    from mmssl_prior.cli import probe_by_config

    def failing(name):
        raise UserError('no such recipe')

    monkeypatch.setattr(probe_by_config, 'load_config', failing)
    command = ('--tasks', 'kitti-dist', '--protocol', 'vissl')
    for _ in range(2):
        # Not done: the same command tries again, on the features that are there.
        status, said = run(*command)
        assert status == 1 and '1 evaluations failed: kitti-dist' in said.err
        assert '## RankMe' in said.out and 'done before' not in said.out
        assert '- kitti-dist of seed0/epoch_3: linear probe: no such recipe' in said.out
        (entry,) = run.results()['results']
        assert entry['scores']['linear'] == dict(failed='no such recipe')
        assert entry['scores']['rankme'] >= 1
        assert list((tmp_path / 'out').rglob('*.npy'))


@pytest.mark.parametrize(('cuda', 'device'), [(True, 'cuda'), (False, 'cpu')])
def test_scores_are_computed_where_double_precision_is(monkeypatch, cuda, device):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: cuda)
    monkeypatch.setattr(downstream, 'get_device', lambda: 'mps')
    assert downstream._score_device() == device


def test_msn_resizes_bilinearly(checkpoints, data, tmp_path, monkeypatch):
    seen = []

    def stop(task, split, root, steps):
        seen.extend(step['interpolation'] for step in steps if 'interpolation' in step)
        raise UserError('seen')

    monkeypatch.setattr(task_data, 'build_dataset', stop)
    source = read_source(str(checkpoints / 'seed0' / 'epoch_3.pth'))
    present = downstream.Present([TASKS['imagenet']], [])
    for protocol in ('vissl', 'msn'):
        settings = one_task.Evaluation(tmp_path, protocol=protocol)
        downstream.evaluate([source], present, settings)
    assert seen == ['bicubic', 'bilinear']


@pytest.mark.slow
def test_every_task_as_a_subprocess(checkpoints, tmp_path):
    root = tmp_path / 'data'
    make_imagenet(root / 'imagenet', 1, size=(32, 32))
    make_inaturalist2018(root / 'inaturalist2018', size=(32, 32))
    make_cifar100(root / 'cifar100')
    make_clevr(root / 'CLEVR_v1.0', [(8.0,) * 3, (8.2,) * 4, (11.0,) * 10])
    make_kitti(tmp_path / 'elsewhere')
    make_places205(root / 'places205')
    command = [sys.executable, str(ROOT / 'tools/evaluate.py')]
    command += [str(checkpoints / 'seed0' / 'epoch_3.pth'), '--tasks', 'all', 'embedded']
    command += ['--data-root', str(root), '--data', f'kitti-dist={tmp_path / "elsewhere"}']
    command += ['--out', str(tmp_path / 'out'), '--workers', '0']
    for again in (False, True):
        result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        assert ('Places205: done before' in result.stdout) == again
    content = json.loads((tmp_path / 'out/results.json').read_text())
    assert [entry['task'] for entry in content['results']] == [*SEVEN, *EMBEDDED]
    assert not content['skipped'] and not content['failed']
    header = result.stdout.split(f'## {LINE}')[1].strip().splitlines()[0]
    assert header.startswith(
        '| checkpoint | IN1K | iNat18 | CIFAR100 | Clevr/Count | Clevr/Dist | KITTI/Dist | '
        'Places205 | Scenes/Kind | Scenes/Count | Scenes/Dist | Patterns | Digits |'
    )
