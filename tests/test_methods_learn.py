"""Every method learns on the embedded data: it beats its untrained network by a clear margin."""

from typing import NamedTuple

import pytest
from mmengine import Config
from mmengine.runner import Runner

from mmssl_prior.evaluation import extract_features, linear_probe
from tests.smoke import CONFIGS, ROOT


class Course(NamedTuple):
    """A short training, and the gain of the linear probe's top-1 that it must exceed."""

    epochs: int
    margin: float


# Half to two thirds of the gains that were seen, on one CPU core in about a minute each.
COURSES = dict(
    data2vec=Course(8, 0.05),
    mae=Course(20, 0.06),
    msn=Course(7, 0.05),
    pmsn=Course(7, 0.05),
    simclr=Course(5, 0.08),
    swav=Course(5, 0.05),
    vicreg=Course(5, 0.08),
)


def probe(runner):
    """Top-1 of a linear probe on the test split, fitted on the probe split."""
    cfg = runner.cfg
    bank, queries = (
        extract_features(runner.model, runner.build_dataloader(loader))
        for loader in (cfg.val_cfg.bank_dataloader, cfg.val_dataloader)
    )
    return linear_probe(bank.features, bank.labels, queries.features, queries.labels).top1


def test_every_method_has_its_course():
    """The shuffled data and the small ViT, with each method's own views and loss."""
    mini = {path.split('/')[1] for path in CONFIGS if path.endswith('_vit-mini_patterns-lt.py')}
    assert mini == set(COURSES)


@pytest.mark.slow
@pytest.mark.parametrize('method', COURSES)
def test_linear_probe_beats_the_untrained_network(method, tmp_path):
    course = COURSES[method]
    cfg = Config.fromfile(ROOT / f'configs/{method}/{method}_vit-mini_patterns-lt.py')
    cfg.work_dir = str(tmp_path)
    cfg.train_cfg.update(max_epochs=course.epochs, val_interval=1000)
    cfg.default_hooks.checkpoint.update(interval=1000, save_last=False)
    runner = Runner.from_cfg(cfg)
    runner.model.init_weights()
    untrained = probe(runner)
    runner.train()
    learned = probe(runner)
    print(f'{method}: {untrained:.3f} -> {learned:.3f}')
    assert learned > untrained + course.margin
