"""results.json to tables: the paper's order, mean and range, what was left out."""

from mmssl_prior.evaluation.report import groups, markdown, metric_rows, summary


def scores(top1, knn):
    return dict(
        linear=dict(top1=top1, class_mean_top1=top1 / 2, groups=dict(many=1.0, medium=None, few=0)),
        knn={'200': knn, '10': knn},
        low_shot={
            '1%': [dict(l2=0.075, mean=0.25, std=0.0, top1=[0.25])],
            '1': [dict(l2=0.1, mean=0.9), dict(l2=0.075, mean=0.125)],
            '5': dict(skipped='too few'),
        },
        rankme=12.34,
        uniformity=-3.456,
    )


def results():
    def checkpoint(name, group, seed):
        return dict(
            name=name, path=f'{name}.pth', group=group, seed=seed, encoder='V', image_size=32
        )

    content = dict(
        protocol='fast',
        checkpoints=[checkpoint('a', 'c', 0), checkpoint('b', 'c', 1), checkpoint('d', 'e', None)],
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


def test_mean_and_range_over_seeds():
    assert groups(results()['checkpoints']) == {'c': ['a', 'b']}
    entries = {(e['task'], e['table'], e['row']): e for e in results()['summary']}
    entry = entries['imagenet', 'linear', '']
    assert (entry['mean'], entry['min'], entry['max'], entry['count']) == (0.5, 0.25, 0.75, 2)
    assert entries['cifar100', 'linear', '']['count'] == 1


def test_the_main_table():
    assert table('Linear probe, top-1 in %') == [
        '| checkpoint | IN1K | CIFAR100 |',
        '| --- | ---: | ---: |',
        '| a | 25.0 | 50.0 |',
        '| b | 75.0 |  |',
        '| **c**, mean (range) | 50.0 (25.0 to 75.0) | 50.0 (50.0 to 50.0) of 1 |',
    ]


def test_rows_stand_in_order():
    assert [line.split('|')[2].strip() for line in table('k-NN')[2:4]] == ['k = 10', 'k = 200']
    rows = [line.split('|')[2].strip() for line in table('Low-shot')[2:4]]
    assert rows == ['1 per class', '1%']
    assert table('RankMe')[2] == '| a | 12.3 | 12.3 |'
    assert table('Uniformity')[2] == '| a | -3.46 | -3.46 |'


def test_what_was_left_out_is_named():
    text = markdown(results())
    assert '- inat18: x does not exist' in text and '- cifar100 of b: image y' in text
    # Under the low-shot table, once for both checkpoints.
    section = text.split('## Low-shot')[1].split('\n## ')[0]
    notes = [line for line in section.splitlines() if line.startswith('- ')]
    assert notes == ['- IN1K, 5 per class: too few', '- CIFAR100, 5 per class: too few']
    assert 'a seed occurs twice' not in text
    same = results()
    same['checkpoints'][1]['seed'] = 0
    assert 'The range of c is not one over seeds: a seed occurs twice.' in markdown(same)
