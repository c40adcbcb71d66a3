"""What a worker hands over where the device makes the views."""

import numpy as np
import torch
from torch.utils.data._utils.collate import default_collate_fn_map

from ...errors import UserError
from ...functional import FILTERS, GEOMETRY, ViewRecipe, make_views
from .seeded_crop import SeededRandomResizedCrop
from .seeded_transform import DrawnTransform

__all__ = ['ViewSource', 'collate_sources', 'view_columns', 'view_recipes']


class ViewSource(torch.Tensor):
    """An image, uint8 BGR of shape (H, W, 3), with the parameters of its views.

    A tensor, so that ``PackInputs`` hands it on. ``default_collate`` makes a
    dict of a batch of them (:func:`collate_sources`), of which
    :class:`MultiViewDataPreprocessor` makes the views.

    Attributes:
        recipes (tuple[ViewRecipe]): What the views are.
        parameters (tuple[Tensor]): For each recipe (views, columns).
    """

    recipes: tuple[ViewRecipe, ...]
    parameters: tuple[torch.Tensor, ...]

    @classmethod
    def of(cls, image, recipes, parameters):
        """From an array, recipes and the columns for each."""
        self = torch.from_numpy(np.require(image, requirements=['C', 'W'])).as_subclass(cls)
        self.recipes = recipes
        self.parameters = tuple(torch.from_numpy(columns) for columns in parameters)
        return self

    def render(self):
        """The views as uint8 BGR arrays, to look at."""
        image = self.as_subclass(torch.Tensor)[None]
        parameters = [columns[None] for columns in self.parameters]
        views = make_views(image, parameters, self.recipes, channels_reversed=True)
        return [view[0].flip(0).byte().permute(1, 2, 0).contiguous().numpy() for view in views]


def collate_sources(batch, *, collate_fn_map=None):
    """Images padded at the bottom and on the right to the largest, parameters stacked.

    Sides are multiples of 8, which matrix units of GPUs are made for.

    Returns:
        dict: ``images``, uint8 of shape (B, H, W, 3); ``parameters``, for
        each recipe (B, views, columns); ``recipes``.
    """
    height, width = (-(-max(source.shape[k] for source in batch) // 8) * 8 for k in (0, 1))
    shape = (len(batch), height, width, 3)
    images = torch.empty(shape, dtype=torch.uint8)
    if torch.utils.data.get_worker_info() is not None:
        # Straight into shared memory, as torch's own collating does.
        storage = images._typed_storage()._new_shared(images.numel(), device='cpu')
        images = images.new(storage).resize_(shape)
    for row, source in zip(images, batch):
        pixels = source.as_subclass(torch.Tensor)
        # The rest stays as it is: no crop reaches it.
        row[: pixels.shape[0], : pixels.shape[1]] = pixels
    parameters = tuple(torch.stack(columns) for columns in zip(*(s.parameters for s in batch)))
    return dict(images=images, parameters=parameters, recipes=batch[0].recipes)


# Torch's way to make `default_collate`, and so MMEngine's, know a type.
default_collate_fn_map[ViewSource] = collate_sources


def view_recipes(pipelines, num_views):
    """Recipes of pipelines that the device can make; equal ones in succession are one.

    Raises:
        UserError: If a pipeline does not begin with a crop, or a transform
            or filter is none of those that the device knows.
    """
    recipes: list[ViewRecipe] = []
    for steps, count in zip(pipelines, num_views):
        crop = steps[0] if steps else None
        if not isinstance(crop, SeededRandomResizedCrop):
            raise UserError(
                "backend='device' makes views that begin with SeededRandomResizedCrop, got "
                f"{type(crop).__name__}: begin with one or use backend='opencv'"
            )
        for step in steps[1:]:
            if not is_drawn(step) or step.step()[0] == 'crop':
                raise UserError(
                    "backend='device' makes views of a crop and seeded flips, colours, blur and "
                    f"solarisation, not of {type(step).__name__}: use backend='opencv'"
                )
        if crop.interpolation not in FILTERS:
            raise UserError(
                f"backend='device' resamples by {', '.join(FILTERS)}, not by "
                f"{crop.interpolation!r}: choose one of these or backend='pillow'"
            )
        kinds = tuple(step.step() for step in steps[1:] if step.step()[0] not in GEOMETRY)
        recipe = ViewRecipe(count, crop.scale, crop.interpolation, kinds)
        if recipes and recipes[-1]._replace(views=count) == recipe:
            recipe = recipe._replace(views=count + recipes.pop().views)
        recipes.append(recipe)
    return tuple(recipes)


def is_drawn(step):
    """Whether a transform is no more than its drawing and applying."""
    return getattr(type(step), 'apply', None) is DrawnTransform.apply


def view_columns(steps, drawn):
    """Parameters of a view, as one row of the columns of its recipe.

    Args:
        steps (Sequence[DrawnTransform]): Its pipeline.
        drawn (Sequence): What was drawn for each, the crop in pixels of the source.
    """
    geometry = [*drawn[0], 0.0, 0.0]
    columns = []
    for step, parameters in zip(steps[1:], drawn[1:]):
        kind, _ = step.step()
        if kind not in GEOMETRY:
            columns.extend(step.columns(parameters))
        elif step.columns(parameters)[0]:
            # Mirrored twice is not mirrored.
            geometry[GEOMETRY.index(kind)] = 1 - geometry[GEOMETRY.index(kind)]
    return np.array([*geometry, *columns], np.float32)
