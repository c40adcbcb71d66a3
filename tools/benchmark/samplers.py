"""Time the batch samplers on labels of the size of ImageNet or iNaturalist.

python tools/benchmark/samplers.py [--images 1281167] [--classes 1000] [--exponent 0]

Prints for each sampler the seconds to build it, the milliseconds to draw a
batch (median, mean and worst of the first batches of a training), and the
seconds to the first batch of a run that is resumed late. All are processor
time of one thread, which other jobs on the machine disturb least.
"""

import argparse
import statistics
import time

import numpy as np

from mmssl_prior.datasets import (
    ClassImbalancedBatchSampler,
    EpochSampler,
    PowerLawBatchSampler,
    ResamplingBatchSampler,
    long_tailed_counts,
)

SAMPLERS = (
    ('K = 8', ClassImbalancedBatchSampler, dict(num_classes_per_batch=8)),
    ('K = 960', ClassImbalancedBatchSampler, dict(num_classes_per_batch=960)),
    ('power law', PowerLawBatchSampler, dict(power=1.0)),
    ('inverse square root', ResamplingBatchSampler, dict(power=0.5)),
    ('class-balanced', ResamplingBatchSampler, dict(power=0)),
)


class Labels:
    """As much of a dataset as a sampler looks at."""

    def __init__(self, labels):
        self.labels = labels

    def __len__(self):
        return len(self.labels)

    def get_gt_labels(self):
        return self.labels


def main():
    args = parse_args()
    counts = long_tailed_counts(args.images, args.classes, args.exponent, class_seed=0)
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(args.classes), counts))
    print(
        f'{args.images:,} images, {args.classes:,} classes of {counts.min():,} to '
        f'{counts.max():,}, batches of {args.batch_size:,}'
    )
    print(f'{"":20}  build s  median ms  mean ms  worst ms  resumed in epoch {args.epoch}, s')
    for name, kind, kwargs in SAMPLERS:
        begin = time.process_time()
        sampler = EpochSampler(Labels(labels), seed=0)
        batches = kind(sampler, args.batch_size, **kwargs)
        build = time.process_time() - begin
        drawn = drawing(iter(batches), args.batches)
        sampler.set_epoch(args.epoch)
        begin = time.process_time()
        next(iter(batches))
        resumed = time.process_time() - begin
        print(
            f'{name:20}  {build:7.2f}  {statistics.median(drawn):9.2f}  '
            f'{statistics.mean(drawn):7.2f}  {max(drawn):8.2f}  {resumed:.2f}'
        )


def drawing(batches, number):
    """Milliseconds that each of the first batches took."""
    output = []
    for _ in range(number):
        begin = time.process_time()
        if next(batches, None) is None:
            break
        output.append(1000 * (time.process_time() - begin))
    return output


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--images', type=int, default=1281167, help='size of the dataset')
    parser.add_argument('--classes', type=int, default=1000)
    parser.add_argument('--exponent', type=float, default=0.0, help='power law of class sizes')
    parser.add_argument('--batch-size', type=int, default=4096, help='of a single rank')
    parser.add_argument('--batches', type=int, default=300, help='how many to draw')
    parser.add_argument('--epoch', type=int, default=299, help='in which a run is resumed')
    return parser.parse_args()


if __name__ == '__main__':
    main()
