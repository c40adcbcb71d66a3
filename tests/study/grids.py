"""Small studies for the tests."""

from types import SimpleNamespace

from mmssl_prior.study.observation import Observation


def study(**changes):
    """A study of two methods and three kinds of batches."""
    facts = dict(
        name='batches',
        title='Batches of few classes',
        question='Do they hurt?',
        factors=dict(method=['msn', 'simclr'], batches=['many', 'few']),
        metrics={'patterns/linear': 'Class, linear'},
        contrasts=[dict(title='Few classes', factor='batches', baseline='many')],
    )
    return SimpleNamespace(**(facts | changes))


def run(method, batches, seed, linear=None, **metrics):
    if linear is not None:
        metrics['patterns/linear'] = linear
    return Observation(dict(method=method, batches=batches), seed, metrics)


# Of few batches to many ones, msn: -1, -2, -6 points; simclr: +1, +1 points and a run missing.
RUNS = [
    run('msn', 'many', 0, 0.50),
    run('msn', 'many', 1, 0.51),
    run('msn', 'many', 2, 0.52),
    run('msn', 'few', 0, 0.49),
    run('msn', 'few', 1, 0.49),
    run('msn', 'few', 2, 0.46),
    run('simclr', 'many', 0, 0.40),
    run('simclr', 'many', 1, 0.42),
    run('simclr', 'many', 2, 0.44),
    run('simclr', 'few', 0, 0.41),
    run('simclr', 'few', 1, 0.43),
]
PLAN = [*RUNS, run('simclr', 'few', 2)]
