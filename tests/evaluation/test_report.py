"""results.json to tables: the paper's order, mean and range, what was left out."""

from mmssl_prior.evaluation.report import groups, markdown, metric_rows, summary


def scores(top1, knn):
    return dict(
        linear=dict(
            head='cls_bn',
            top1=top1,
            class_mean_top1=top1 / 2,
            groups=dict(many=1.0, medium=None, few=0),
            heads=dict(
                cls=dict(top1=0.1, in_table=True),
                cls_bn=dict(top1=top1, in_table=True),
                ours=dict(top1=0.9, in_table=False),
            ),
            others=dict(head='ours', top1=0.9, class_mean_top1=0.8),
        ),
        knn={'200': knn, '10': knn},
        knn_groups={'10': dict(many=0.1), '20': dict(many=0.5, medium=0.25, few=None)},
        groups_of=dict(source='probe', reason='the split: because', few_below=20, many_above=100),
        low_shot={
            '1%': [dict(l2=0.075, mean=0.25, std=0.0, top1=[0.25])],
            '1': [dict(l2=0.1, mean=0.9), dict(l2=0.075, mean=0.125)],
            '5': dict(skipped='too few'),
            'published 1%': [dict(l2=0.075, mean=0.3)],
            'published 5': [dict(l2=0.075, mean=0.4)],
        },
        low_shot_lists={'published 1%': ['a'], 'published 5': ['b', 'c', 'd']},
        rankme=12.34,
        uniformity=-3.456,
        alignment=0.123,
        alignment_images=7,
    )


def results():
    def checkpoint(name, group, seed):
        return dict(
            name=name, path=f'{name}.pth', group=group, seed=seed, encoder='V', image_size=32
        )

    content = dict(
        protocol='fast',
        checkpoints=[
            checkpoint('a', 'c', 0),
            checkpoint('b', 'c', 1),
            checkpoint('d', 'e', None),
            # No task of it has finished.
            checkpoint('f', 'c', 2) | dict(encoder=None, image_size=None),
        ],
        results=[
            dict(checkpoint='a', task='cifar100', scores=scores(0.5, 0.4)),
            dict(checkpoint='a', task='imagenet', scores=scores(0.25, 0.2)),
            dict(checkpoint='b', task='imagenet', scores=scores(0.75, 0.4)),
            dict(checkpoint='d', task='imagenet', scores=dict(knn={})),
        ],
        skipped=[dict(task='inat18', reason='x does not exist')],
        failed=[dict(checkpoint='b', task='cifar100', reason='image y')],
    )
    return content | dict(summary=summary(content))


def table(title):
    text = markdown(results())
    section = text.split(f'## {title}', 1)[1].split('\n## ', 1)[0]
    return [line for line in section.splitlines() if line.startswith('|')]


def test_numbers_of_a_task():
    rows = metric_rows(scores(0.5, 0.4), 'class_mean_top1')
    assert rows['linear', ''] == 0.25 and rows['groups', 'few'] == 0
    assert ('groups', 'medium') not in rows and ('low-shot', '5 per class') not in rows
    assert rows['low-shot', '1 per class'] == 0.125 and rows['low-shot', '1%'] == 0.25
    assert rows['low-shot', '5 per class, published'] == 0.4
    assert rows['others', ''] == 0.8 and rows['knn groups', 'medium'] == 0.25
    assert ('knn groups', 'few') not in rows


def test_mean_and_range_over_seeds():
    assert groups(results()['checkpoints']) == {'c': ['a', 'b', 'f']}
    entries = {(e['task'], e['table'], e['row']): e for e in results()['summary']}
    entry = entries['imagenet', 'linear', '']
    assert (entry['mean'], entry['min'], entry['max']) == (0.5, 0.25, 0.75)
    # One that failed is missing, and seen to be.
    assert (entry['count'], entry['of']) == (2, 3)
    assert entries['cifar100', 'linear', '']['count'] == 1
    assert '| f | f.pth | c | 2 | no task finished |' in markdown(results())


def test_the_main_table():
    assert table('Linear probe, top-1 in %') == [
        '| checkpoint | IN1K | CIFAR100 |',
        '| --- | ---: | ---: |',
        '| a | 25.0 | 50.0 |',
        '| b | 75.0 |  |',
        '| **c**, mean (range) | 50.0 (25.0 to 75.0), 2 of 3 | 50.0 (50.0 to 50.0), 1 of 3 |',
    ]
    assert table('Linear probe, best of the other heads')[2] == '| a | 90.0 | 90.0 |'


def test_rows_stand_in_order():
    assert [line.split('|')[2].strip() for line in table('k-NN, top-1')[2:4]] == [
        'k = 10',
        'k = 200',
    ]
    rows = [line.split('|')[2].strip() for line in table('Low-shot')[2:6]]
    assert rows == ['1 per class', '1%', '5 per class, published', '1%, published']
    assert table('RankMe')[2] == '| a | 12.3 | 12.3 |'
    assert table('Alignment and uniformity')[2:4] == [
        '| a | alignment | 0.12 | 0.12 |',
        '| a | uniformity | -3.46 | -3.46 |',
    ]
    assert table('k-NN, k = 20, by images')[2] == '| a | many | 50.0 | 50.0 |'


def notes(title):
    section = markdown(results()).split(f'## {title}', 1)[1].split('\n## ', 1)[0]
    return [line for line in section.splitlines()[1:] if line and not line.startswith('|')]


def test_notes_below_the_tables():
    chosen = 'The head of each number is the best on the test images'
    both = ['- a: IN1K cls_bn, CIFAR100 cls_bn', '- b: IN1K cls_bn']
    assert notes('Linear probe, top-1') == [f'{chosen}:', *both]
    assert notes('Linear probe, best of the other heads') == [
        f'{chosen}, none of the table above:',
        *(line.replace('cls_bn', 'ours') for line in both),
    ]
    counted = 'more than 100 images, fewer than 20, and between; counted in the split: because'
    assert notes('Linear probe, by images')[0] == f'- IN1K of a: {counted}'
    # Said once, under the first of the two tables.
    assert not notes('k-NN, k = 20')
    (line,) = notes('Alignment')
    assert 'two random views of an image (the large view of MSN), over at most 7 images' in line


def test_groups_of_k_nn_alone_are_explained():
    whole = results()
    for entry in whole['results']:
        entry['scores'].get('linear', {}).pop('groups', None)
    section = markdown(whole).split('## k-NN, k = 20', 1)[1]
    assert 'counted in the split: because' in section


def test_what_was_left_out_is_named():
    text = markdown(results())
    assert '- inat18: x does not exist' in text and '- cifar100 of b: image y' in text
    # Under the low-shot table, once for both checkpoints.
    section = text.split('## Low-shot')[1].split('\n## ')[0]
    notes = [line for line in section.splitlines() if line.startswith('- ')]
    assert notes == [
        f'- {task}, {text}'
        for task in ('IN1K', 'CIFAR100')
        for text in (
            '1%, published: 1 list',
            '5 per class, published: 3 lists',
            '5 per class: too few',
        )
    ]
    assert 'a seed occurs twice' not in text
    same = results()
    same['checkpoints'][1]['seed'] = 0
    assert 'The range of c is not one over seeds: a seed occurs twice.' in markdown(same)
