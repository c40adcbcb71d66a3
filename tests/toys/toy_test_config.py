"""The toy task with a test loop: seven samples, which two ranks do not share evenly."""

_base_ = ['./toy_config.py']

test_dataloader = dict(
    batch_size=2,
    num_workers=0,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='ToyData', length=7, width=4),
)
test_cfg = dict()
test_evaluator = dict(type='ToyMetric')
