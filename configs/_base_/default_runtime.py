# Runtime of every config: hooks, logging, environment. Deltas go into the configs.
default_scope = 'mmpretrain'
custom_imports = dict(imports=['mmssl_prior'], allow_failed_imports=False)

default_hooks = dict(
    # Terms of the loss and checks of it are read at the logging interval, not in each iteration.
    runtime_info=dict(type='DeferredRuntimeInfoHook'),
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=100),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # Every 10 epochs, and within them every 10 minutes: no more than these are lost to a hard kill,
    # and nothing to SIGTERM or SIGUSR1.
    checkpoint=dict(type='ResumableCheckpointHook', interval=10, minutes=10, max_keep_ckpts=2),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    # Refuses a data pipeline whose random views would be the same in every epoch.
    seeded_views=dict(type='SeededViewsHook'),
    # Undecodable images are replaced and counted; above the limit training stops and names them.
    undecodable_images=dict(type='UndecodableImagesHook', limit=100),
    # Counts the training labels for an EmpiricalPrior that names no counts.
    fit_prior=dict(type='FitPriorHook'),
    # Usage of prototypes, rank of features and more; warns of a collapse. See docs/collapse.md.
    collapse=dict(type='CollapseMonitorHook', interval=100),
)

env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)

# No device ids, which CPU ranks refuse: each rank's model is on its device already. Batch
# normalisation reduces over ranks itself, so buffers are not broadcast.
model_wrapper_cfg = dict(
    type='MMDistributedDataParallel',
    device_ids=None,
    broadcast_buffers=False,
    # Every parameter has a gradient in every step; gradients are reduced where they lie.
    static_graph=True,
    gradient_as_bucket_view=True,
)

# Views and patch dropping are functions of this seed, whatever the number of ranks and workers.
# SEED in the environment is another.
randomness = dict(seed=int('{{$SEED:0}}'))

log_level = 'INFO'
log_processor = dict(window_size=10)
# For TensorBoard or Weights & Biases set visualizer=dict(vis_backends=[...]) to this backend and
# dict(type='TensorboardVisBackend') or dict(type='WandbVisBackend', init_kwargs=dict(project='x')).
visualizer = dict(type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')])

load_from = None
resume = False
