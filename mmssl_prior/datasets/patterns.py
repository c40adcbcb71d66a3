"""Procedural images of motifs in windows: a pure numpy renderer.

A class is a pair (motif, window). The 16 motifs alone fill the image; inside
one of seven windows they make further classes, 128 in all. What tells the
classes apart is geometry only: colours, polarity, phase, position, rotation,
scale, lighting and noise are drawn anew for every image, so that raw pixels
carry almost nothing about the class.
"""

import numpy as np

from ..errors import UserError

# Soft colours: at full saturation two random views of one image share no
# evident content at the start of training, and small networks never take off.
SATURATION = 0.2
MIN_CONTRAST = 0.35
MAX_ROTATION = np.deg2rad(20)
NOISE_STD = 0.04
MAX_LIGHT = 0.45
SUPERSAMPLING = 2


def _frac(x):
    return x - np.floor(x)


def _polar(u, v):
    return np.hypot(u, v), np.arctan2(v, u)


def _stripes(u, v, p, rng):
    return _frac(v / p + rng.random()) < 0.5


def _checker(u, v, p, rng):
    a, b = rng.random(2)
    return (_frac(u / p / 1.4 + a) < 0.5) ^ (_frac(v / p / 1.4 + b) < 0.5)


def _dots(u, v, p, rng):
    a, b = rng.random(2)
    return np.hypot(_frac(u / p + a) - 0.5, _frac(v / p + b) - 0.5) < 0.3


def _rings(u, v, p, rng):
    return _frac(np.hypot(u, v) / p + rng.random()) < 0.5


def _spokes(u, v, p, rng):
    arms = rng.integers(6, 9)
    return _frac(np.arctan2(v, u) * arms / (2 * np.pi) + rng.random()) < 0.5


def _noise(u, v, p, rng):
    # A sum of plane waves in random directions: smooth blobs without a grid.
    angle, phase = rng.random((2, 12, 1, 1)) * 2 * np.pi
    freq = 2 * np.pi / p * rng.uniform(0.6, 1.1, (12, 1, 1))
    return np.cos(freq * (u * np.cos(angle) + v * np.sin(angle)) + phase).sum(0) > 0


def _bricks(u, v, p, rng):
    a, b = rng.random(2)
    row = v / p + a
    column = u / (2 * p) + b + 0.5 * (np.floor(row) % 2)
    return (_frac(row) < 0.25) | (_frac(column) < 0.125)


def _zigzag(u, v, p, rng):
    a, b = rng.random(2)
    tooth = np.abs(_frac(u / (2 * p) + a) - 0.5) * 2 * p
    return _frac((v + tooth) / p + b) < 0.5


def _disc(u, v, p, rng):
    return np.hypot(u, v) < 0.27


def _cross(u, v, p, rng):
    u, v = np.abs(u), np.abs(v)
    return (np.minimum(u, v) < 0.09) & (np.maximum(u, v) < 0.34)


def _square(u, v, p, rng):
    return np.maximum(np.abs(u), np.abs(v)) < 0.25


def _triangle(u, v, p, rng):
    return (v < 0.24) & (np.abs(u) < 0.6 * (v + 0.34))


def _grid(u, v, p, rng):
    a, b = rng.random(2)
    return (_frac(u / p + a) < 0.25) | (_frac(v / p + b) < 0.25)


def _diagonal(u, v, p, rng):
    return _frac((u + v) / np.sqrt(2) / p + rng.random()) < 0.5


def _scales(u, v, p, rng):
    a, b = rng.random(2)
    row = v / p * 1.4 + a
    u = u / p / 1.4 + b + 0.5 * (np.floor(row) % 2)
    r = np.hypot((_frac(u) - 0.5) * 2, _frac(row))
    return (r > 0.7) & (r < 1.05)


def _spiral(u, v, p, rng):
    r, theta = _polar(u, v)
    return _frac(r / (1.6 * p) + 2 * theta / (2 * np.pi) + rng.random()) < 0.5


def _everywhere(u, v):
    return np.ones(np.broadcast_shapes(u.shape, v.shape), bool)


def _w_disc(u, v):
    return np.hypot(u, v) < 0.4


def _w_square(u, v):
    return np.maximum(np.abs(u), np.abs(v)) < 0.36


def _w_diamond(u, v):
    return np.abs(u) + np.abs(v) < 0.46


def _w_triangle(u, v):
    return (v < 0.34) & (np.abs(u) < 0.6 * (v + 0.5))


def _w_band(u, v):
    return np.abs(v) < 0.22


def _w_cross(u, v):
    return np.minimum(np.abs(u), np.abs(v)) < 0.17


def _w_hole(u, v):
    return np.hypot(u, v) > 0.17


# Motifs that repeat may start anywhere; the others have a centre, and their
# size is in units of the image instead of the period.
MOTIFS = dict(
    stripes=_stripes,
    checker=_checker,
    dots=_dots,
    rings=_rings,
    spokes=_spokes,
    noise=_noise,
    bricks=_bricks,
    zigzag=_zigzag,
    disc=_disc,
    cross=_cross,
    square=_square,
    triangle=_triangle,
    grid=_grid,
    diagonal=_diagonal,
    scales=_scales,
    spiral=_spiral,
)
WINDOWS = dict(
    everywhere=_everywhere,
    disc=_w_disc,
    square=_w_square,
    diamond=_w_diamond,
    triangle=_w_triangle,
    band=_w_band,
    cross=_w_cross,
    hole=_w_hole,
)
MAX_CLASSES = len(MOTIFS) * len(WINDOWS)


def class_name(label):
    """Name of a class: the motif, and its window if it has one.

    Class ``k`` is motif ``k mod 16`` in window ``k div 16``, so that the
    first 16 classes are the bare motifs.

    Args:
        label (int): Class index in [0, 128).

    Returns:
        str: The name.

    Raises:
        ValueError: If ``label`` is outside [0, 128).

    >>> class_name(3), class_name(19)
    ('rings', 'rings-in-disc')
    """
    if not 0 <= label < MAX_CLASSES:
        raise UserError(f'label={label!r}: expected an integer in [0, {MAX_CLASSES})')
    window, motif = divmod(int(label), len(MOTIFS))
    name = list(MOTIFS)[motif]
    return name if window == 0 else f'{name}-in-{list(WINDOWS)[window]}'


def _colours(rng):
    """Motif, ground and surround: RGB in [0, 1] that differ in lightness.

    Which of the two is lighter is a coin flip: it is what keeps a linear
    model of the pixels near chance.
    """
    while True:
        grey = rng.uniform(0.1, 0.9, 3)
        if min(abs(grey[0] - grey[1]), abs(grey[1] - grey[2])) > MIN_CONTRAST:
            break
    chroma = rng.uniform(-0.5, 0.5, (3, 3))
    return np.clip(grey[:, None] + SATURATION * chroma, 0, 1)


def render(label, rng, size=40):
    r"""Render one image of a class.

    .. math::
        x = \ell(s)\,[c_0 + m(T s)\,(c_1 - c_0)] + \epsilon

    for pixels :math:`s`, motif indicator :math:`m`, similarity transform
    :math:`T`, colours :math:`c`, lighting gradient :math:`\ell` and Gaussian
    noise :math:`\epsilon`; outside the window the colour is a third one.

    Args:
        label (int): Class index in [0, 128).
        rng (np.random.Generator): Source of every nuisance.
        size (int): Height and width in pixels. Defaults to 40.

    Returns:
        np.ndarray: uint8 RGB image of shape (size, size, 3).

    Raises:
        ValueError: If ``label`` is outside [0, 128).

    >>> image = render(0, np.random.default_rng(0), size=40)
    >>> image.shape, image.dtype.name
    ((40, 40, 3), 'uint8')
    """
    class_name(label)  # validates
    window, motif = divmod(int(label), len(MOTIFS))
    angle = rng.uniform(-MAX_ROTATION, MAX_ROTATION)
    zoom = rng.uniform(0.65, 1.5)
    shift = rng.uniform(-0.3, 0.3, 2)
    period = rng.uniform(0.2, 0.28)
    colours = _colours(rng)
    light_angle, light = rng.uniform(0, 2 * np.pi), rng.uniform(0, MAX_LIGHT)

    side = size * SUPERSAMPLING
    axis = ((np.arange(side) + 0.5) / side - 0.5).astype(np.float32)
    x, y = axis[None, :], axis[:, None]
    c, s = np.cos(angle) / zoom, np.sin(angle) / zoom
    u = c * (x - shift[0]) + s * (y - shift[1])
    v = c * (y - shift[1]) - s * (x - shift[0])
    mask = list(MOTIFS.values())[motif](u, v, period, rng)
    index = np.where(mask, 0, 1)
    if window:
        index = np.where(list(WINDOWS.values())[window](u, v), index, 2)
    weights = [_shrink(index == i) for i in range(2 + (window > 0))]
    image = np.stack(weights, -1) @ colours[: len(weights)]

    axis = (np.arange(size) + 0.5) / size - 0.5
    gradient = np.cos(light_angle) * axis[None, :] + np.sin(light_angle) * axis[:, None]
    image = image * (1 + 2 * light * gradient)[..., None]
    image = image + rng.normal(0, NOISE_STD, image.shape)
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)


def _shrink(mask):
    """Mean over blocks of sub-pixels: antialiased edges."""
    n, k = mask.shape[0] // SUPERSAMPLING, SUPERSAMPLING
    return mask.reshape(n, k, n, k).mean((1, 3))
