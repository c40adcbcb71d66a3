import numpy as np
import pytest

from mmssl_prior.visualization import view_sheet

COLOURS = [(200, 30 * i, 90) for i in range(8)]


def image(rows, columns, colour):
    return np.full((rows, columns, 3), colour, np.uint8)


def areas(sheet):
    """Pixels of each colour, and the corner where it begins."""
    pixels = np.asarray(sheet)
    found = {}
    for colour in COLOURS:
        y, x = np.nonzero((pixels == colour).all(-1))
        found[colour] = (len(x), x.min(), y.min()) if len(x) else None
    return found


def test_every_view_is_there_whole_and_at_one_scale():
    views = [image(224, 224, COLOURS[i]) for i in (1, 2)]
    views += [image(96, 96, COLOURS[i]) for i in (3, 4, 5, 6)]
    sheet = view_sheet(image(112, 224, COLOURS[0]), views, list('abcdef'), 'title')
    found = areas(sheet)
    assert found[COLOURS[0]][0] == 448 * 224, 'the original is fitted to the height'
    assert [found[COLOURS[i]][0] for i in (1, 2)] == [224 * 224] * 2
    assert [found[COLOURS[i]][0] for i in (3, 4, 5, 6)] == [96 * 96] * 4
    x, y = zip(*(found[COLOURS[i]][1:] for i in range(7)))
    assert x[0] < x[1] < x[2] < x[3] < x[4], 'from the left in order'
    assert (x[5], x[6]) == (x[3], x[4]) and y[5] == y[6] > y[3] == y[4] == y[0], 'two rows'


@pytest.mark.parametrize(('size', 'scale'), [(32, 5), (100, 2), (224, 1)])
def test_small_views_are_enlarged_by_whole_multiples(size, scale):
    sheet = view_sheet(image(9, 9, COLOURS[0]), [image(size, size, COLOURS[1])], ['view'])
    assert areas(sheet)[COLOURS[1]][0] == (size * scale) ** 2


def test_panorama_does_not_push_the_views_out():
    sheet = view_sheet(image(10, 1000, COLOURS[0]), [image(200, 200, COLOURS[1])], ['view'])
    assert sheet.width < 1000 and areas(sheet)[COLOURS[1]][0] == 200**2


def test_hidden_patches():
    mask = np.array([[1, 0], [0, 0]])
    view = image(200, 200, COLOURS[1])
    sheet = view_sheet(image(9, 9, COLOURS[0]), [view], ['view'], mask=mask)
    assert areas(sheet)[COLOURS[1]][0] == 200**2 * (1 + 3 / 4)


def test_long_title_is_not_cut():
    small = image(9, 9, COLOURS[0])
    assert view_sheet(small, [small], ['v'], 'x' * 300).width > 2000
