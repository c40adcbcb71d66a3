"""Under which terms converted weights stand: a change of format changes none."""

__all__ = ['MSN_LICENCE', 'UNSTATED', 'licence_line']

MSN_LICENCE = (
    'CC BY-NC 4.0 (Creative Commons Attribution-NonCommercial 4.0 International): weights of the '
    'MSN release, facebookresearch/msn, converted; no commercial use'
)
UNSTATED = 'not stated in the source'


def licence_line(licence: str) -> str:
    """The sentence that the tool prints and writes; empty is a licence that nobody stated."""
    if licence:
        return f'licence of these weights: {licence}'
    return (
        'licence of these weights: not stated in the source; the terms of whoever made them go on '
        'to hold (weights of the MSN release: CC BY-NC 4.0)'
    )
