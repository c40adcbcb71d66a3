# What all studies on the embedded data share: a training of minutes on one CPU core, the same for
# all methods, and what is measured after it.

# One level for each seed: the environment of a run has SEED=0, 1, ..., which sets the weights, all
# views and which classes are frequent.
seed_variable = 'SEED'

# Of every run, as by --cfg-options.
options = {
    'train_cfg.max_epochs': 10,
    'train_cfg.val_interval': 10,
    # A run is one process: as many run side by side as there are cores.
    'train_dataloader.num_workers': 0,
    'train_dataloader.persistent_workers': False,
    'default_hooks.checkpoint.interval': 10,
    'default_hooks.checkpoint.max_keep_ckpts': 1,
}

# Pretrained on Patterns: class is the task of the training data; kind, count and distance of
# Scenes are transfer to other images. Classes with fewer than 60 of 2400 training images are few,
# with more than 200 many.
evaluation = dict(
    tasks=['patterns', 'scenes-kind', 'scenes-count', 'scenes-distance'],
    measures=['linear', 'knn', 'spectrum'],
    groups=[60, 200],
)

metrics = {
    'patterns/linear': 'Class, linear',
    'patterns/knn10': 'Class, k-NN',
    'scenes-kind/linear': 'Kind',
    'scenes-count/linear': 'Count',
    'scenes-distance/linear': 'Distance',
    'patterns/rankme': 'RankMe',
}
