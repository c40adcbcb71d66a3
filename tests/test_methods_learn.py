"""Every method learns on the embedded data: it beats its untrained network by a clear margin."""

import pytest
from mmengine.runner import Runner

from mmssl_prior.evaluation import extract_features, linear_probe
from tests.smoke import CONFIGS, ROOT

# The shuffled data and the small ViT, with each method's own views and loss.
MINI = [path for path in CONFIGS if path.endswith('_vit-mini_patterns-lt.py')]
EPOCHS, MARGIN = 10, 0.1


def probe(runner):
    """Top-1 of a linear probe on the test split, fitted on the probe split."""
    cfg = runner.cfg
    bank, queries = (
        extract_features(runner.model, runner.build_dataloader(loader))
        for loader in (cfg.val_cfg.bank_dataloader, cfg.val_dataloader)
    )
    return linear_probe(bank.features, bank.labels, queries.features, queries.labels).top1


@pytest.mark.slow
@pytest.mark.parametrize('path', MINI)
def test_linear_probe_beats_the_untrained_network(path, tmp_path):
    from mmengine import Config

    cfg = Config.fromfile(ROOT / path)
    cfg.work_dir = str(tmp_path)
    cfg.train_cfg.update(max_epochs=EPOCHS, val_interval=1000)
    cfg.default_hooks.checkpoint.update(interval=1000, save_last=False)
    runner = Runner.from_cfg(cfg)
    runner.model.init_weights()
    untrained = probe(runner)
    runner.train()
    assert probe(runner) > untrained + MARGIN
