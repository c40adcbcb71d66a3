"""Procedural scenes of objects on a plane: a pure numpy renderer.

A scene holds 1 to 8 objects of one kind, seen in perspective. Three things
about it can be asked, and none tells anything of the others: the kind of its
objects (a silhouette and a fill), how many there are, and how far the nearest
one is. Colours, lighting, places, sizes and noise are drawn anew for every
scene.
"""

from typing import NamedTuple

import numpy as np

from ..errors import UserError

__all__ = ['MAX_OBJECTS', 'NUM_KINDS', 'Scene', 'compose', 'kind_name', 'paint']

MAX_OBJECTS = 8
# Right-open bins of the nearest object's depth, in units of the camera's height.
DEPTH_EDGES = (3.0, 4.5, 6.5, 9.0, 12.0)
FARTHEST = 18.0
# Focal length and object size in image heights: an object at depth z is SIZE / z high.
SIZE = 1.35
HORIZON = 0.25
SUPERSAMPLING = 2
NOISE_STD = 0.03
MIN_CONTRAST = 0.3
SATURATION = 0.3
ATTEMPTS = 60
RIM = 1.15


def _disc(u, v):
    return np.hypot(u, v) < 0.5


def _square(u, v):
    return np.maximum(np.abs(u), np.abs(v)) < 0.45


def _triangle(u, v):
    return (v < 0.45) & (np.abs(u) < 0.55 * (v + 0.5))


def _diamond(u, v):
    return np.abs(u) + np.abs(v) < 0.55


def _cross(u, v):
    u, v = np.abs(u), np.abs(v)
    return (np.minimum(u, v) < 0.17) & (np.maximum(u, v) < 0.5)


def _ring(u, v):
    r = np.hypot(u, v)
    return (r < 0.5) & (r > 0.27)


def _arch(u, v):
    outer = (np.abs(u) < 0.45) & (np.abs(v) < 0.45)
    return outer & ~((np.abs(u) < 0.2) & (v > -0.1))


def _hourglass(u, v):
    return (np.abs(v) < 0.48) & (np.abs(u) < 0.1 + 0.8 * np.abs(v))


SILHOUETTES = dict(
    disc=_disc,
    square=_square,
    triangle=_triangle,
    diamond=_diamond,
    cross=_cross,
    ring=_ring,
    arch=_arch,
    hourglass=_hourglass,
)
FILLS = ('plain', 'striped')
NUM_KINDS = len(SILHOUETTES) * len(FILLS)


class Scene(NamedTuple):
    """Objects of a scene: their kind, depths and horizontal places, nearest first."""

    kind: int
    depths: np.ndarray
    places: np.ndarray


def kind_name(kind):
    """Name of a kind of object: the first eight are plain, the others striped.

    >>> kind_name(0), kind_name(9)
    ('plain disc', 'striped square')
    """
    if not 0 <= kind < NUM_KINDS:
        raise UserError(f'kind={kind!r}: expected an integer in [0, {NUM_KINDS})')
    fill, silhouette = divmod(int(kind), len(SILHOUETTES))
    return f'{FILLS[fill]} {list(SILHOUETTES)[silhouette]}'


def compose(kind, rng):
    """Draw what a scene of a kind holds.

    The number of objects is uniform in 1 to 8, and the bin of the nearest
    one's depth uniform among the four; the others lie behind it, uniform in
    inverse depth, so that they spread over the picture.

    Args:
        kind (int): Kind of the objects, in [0, 16).
        rng (np.random.Generator): Source of every choice.

    Returns:
        Scene: Depths in units of the camera's height, places in [-0.5, 0.5]
        of the image's width.
    """
    count = int(rng.integers(1, MAX_OBJECTS + 1))
    bin_ = int(rng.integers(len(DEPTH_EDGES) - 1))
    nearest = rng.uniform(DEPTH_EDGES[bin_], DEPTH_EDGES[bin_ + 1])
    behind = 1 / rng.uniform(1 / FARTHEST, 1 / (1.08 * nearest), count - 1)
    depths = np.sort(np.concatenate([[nearest], behind]))
    places: list[float] = []
    for depth in depths:
        radius = 0.5 * SIZE / depth
        reach = 0.5 - min(0.8 * radius, 0.35)
        best, best_gap = 0.0, -np.inf
        for _ in range(ATTEMPTS):
            place = rng.uniform(-reach, reach)
            # How much of it the objects in front leave free, sidewards.
            gaps = [
                abs(place - other) - 0.8 * (radius + 0.5 * SIZE / front)
                for other, front in zip(places, depths)
                if _ground(depth) > _ground(front) - 1.1 * SIZE / front
            ]
            gap = min(gaps, default=0.0)
            if gap > best_gap:
                best, best_gap = place, gap
            if best_gap >= 0:
                break
        places.append(best)
    return Scene(int(kind), depths, np.array(places))


def _ground(depth):
    """Where the plane at a depth meets the picture: 0 is the upper edge, 1 the lower."""
    return HORIZON + (1 - HORIZON) * DEPTH_EDGES[0] / depth


def _colours(rng):
    """Sky, plane, object and stripe: RGB in [0, 1]; object and stripe stand out."""
    while True:
        grey = rng.uniform(0.1, 0.9, 4)
        near = [abs(grey[2] - grey[0]), abs(grey[2] - grey[1]), abs(grey[3] - grey[2])]
        if min(near) > MIN_CONTRAST:
            break
    return np.clip(grey[:, None] + SATURATION * rng.uniform(-0.5, 0.5, (4, 3)), 0, 1)


def paint(scene, rng, size=64):
    r"""Render a scene, the farthest object first.

    An object at depth z is 1.35 / z image heights high and stands on the
    plane at :math:`0.25 + 0.75 \cdot 3 / z` of the picture's height.

    Args:
        scene (Scene): What to render.
        rng (np.random.Generator): Source of colours, light and noise.
        size (int): Height and width in pixels. Defaults to 64.

    Returns:
        np.ndarray: uint8 RGB image of shape (size, size, 3).

    >>> rng = np.random.default_rng(0)
    >>> paint(compose(0, rng), rng).shape
    (64, 64, 3)
    """
    colours = _colours(rng)
    side = size * SUPERSAMPLING
    axis = ((np.arange(side) + 0.5) / side).astype(np.float32)
    x, y = axis[None, :] - 0.5, axis[:, None]
    image = np.where((np.broadcast_to(y, (side, side)) < HORIZON)[..., None], *colours[:2])
    fill, silhouette = divmod(scene.kind, len(SILHOUETTES))
    inside = list(SILHOUETTES.values())[silhouette]
    for depth, place in zip(scene.depths[::-1], scene.places[::-1]):
        height = SIZE / depth * rng.uniform(0.93, 1.07)
        u, v = (x - place) / height, (y - _ground(depth)) / height + 0.5
        # A shade and a darker rim of its own set it off from those that it covers.
        body, stripe = np.clip(colours[2:] + rng.uniform(-0.1, 0.1, 3), 0, 1)
        surface = np.where(inside(RIM * u, RIM * v)[..., None], body, 0.5 * body)
        if fill:
            surface = np.where((np.floor(v * 6) % 2 == 1)[..., None], stripe, surface)
        image = np.where(inside(u, v)[..., None], surface, image)
    image = _shrink(image)
    angle, light = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.3)
    axis = (np.arange(size) + 0.5) / size - 0.5
    gradient = np.cos(angle) * axis[None, :] + np.sin(angle) * axis[:, None]
    image = image * (1 + 2 * light * gradient)[..., None]
    image = image + rng.normal(0, NOISE_STD, image.shape)
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)


def _shrink(image):
    """Mean over blocks of sub-pixels: antialiased edges."""
    n, k = image.shape[0] // SUPERSAMPLING, SUPERSAMPLING
    return image.reshape(n, k, n, k, 3).mean((1, 3))
