"""Two views of an image for alignment, and features that depend on images alone."""

import torch
from mmengine.registry import init_default_scope

from mmssl_prior.datasets import ClevrCount, ClevrDist, ScenesLT
from mmssl_prior.datasets.samplers.epoch_index import index_generator
from mmssl_prior.datasets.transforms import SeededRandomResizedCrop
from mmssl_prior.evaluation.identity import dataset_digest, images_digest, listed
from mmssl_prior.evaluation.two_views import two_views
from tests.miniatures import make_clevr


def images(dataset):
    return torch.stack([dataset[i]['inputs'] for i in range(len(dataset))])


def test_two_draws_of_one_augmentation(tmp_path):
    init_default_scope('mmpretrain')
    make_clevr(tmp_path, [(8.0,) * 3] * 5)
    dataset = ClevrCount(str(tmp_path), split='val', pipeline=[dict(type='LoadImage')])
    before = str(dataset.pipeline)
    first, second = two_views(dataset, 32)
    assert images(first).shape == (5, 3, 32, 32) and str(dataset.pipeline) == before
    # Seeded: the same each time; two draws: not the same as each other, nor from image to image.
    again = two_views(dataset, 32)
    assert torch.equal(images(first), images(again[0]))
    assert torch.equal(images(second), images(again[1]))
    assert not torch.equal(images(first), images(second))
    assert str(first.pipeline) != str(second.pipeline)
    # The crop, which is drawn first, by hand.
    crop = SeededRandomResizedCrop(scale=32, crop_ratio_range=(0.3, 1.0))
    for view, seen in enumerate((first, second)):
        seen.pipeline.transforms = seen.pipeline.transforms[:3]
        loaded = dataset[2]
        expected = crop.transform(dict(loaded, view_generator=index_generator(2, view)))['img']
        assert (seen[2]['img'] == expected).all()


def test_a_bounded_number_of_images(tmp_path):
    scenes = ScenesLT(split='test', images_per_kind=2)
    views = two_views(scenes, 16, in_memory=True, images=7)
    paths = [[info['gt_label'] for info in listed(view)] for view in views]
    assert [len(view) for view in views] == [7, 7] and paths[0] == paths[1]
    assert len(scenes) == 32


def test_tasks_on_the_same_images_share_their_digest(tmp_path):
    make_clevr(tmp_path, [(8.0,) * 3, (9.0,) * 4])
    count, dist = (kind(str(tmp_path)) for kind in (ClevrCount, ClevrDist))
    assert images_digest(count) == images_digest(dist)
    assert dataset_digest(count) != dataset_digest(dist)
    assert images_digest(count) != images_digest(ClevrCount(str(tmp_path), split='val'))
    scenes = [ScenesLT(split='test', images_per_kind=1, target=t) for t in ('kind', 'count')]
    assert images_digest(scenes[0]) == images_digest(scenes[1])
    other = ScenesLT(split='test', images_per_kind=1, image_seed=1)
    assert images_digest(scenes[0]) != images_digest(other)
    # The list as it is, also where MMEngine keeps no byte stream.
    plain = ClevrCount(str(tmp_path), serialize_data=False)
    assert [info['img_path'] for info in listed(count)] == [i['img_path'] for i in listed(plain)]
    assert images_digest(plain) == images_digest(count)
