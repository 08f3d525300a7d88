import torch

from tas.search.monitor import distribution_figure
from tests.spaces import paper_space, unpruned


def test_the_picture_of_what_is_learned_has_a_row_for_each_choice() -> None:
    space = paper_space(unpruned("resnet20", num_classes=10))
    widths = {name: torch.full((len(values),), 1 / len(values)) for name, values in space.widths.items()}
    depths = {name: torch.full((len(values),), 1 / len(values)) for name, values in space.depths.items()}
    figure = distribution_figure(space, widths, depths)
    rows = [[label.get_text() for label in axes.get_yticklabels()] for axes in figure.axes[:2]]
    assert rows == [list(space.widths), list(space.depths)]


def test_the_picture_shows_the_probabilities() -> None:
    space = paper_space(unpruned("resnet20", num_classes=10))
    learned = [
        {name: torch.arange(1.0, len(values) + 1) / 100 for name, values in choices.items()}
        for choices in (space.widths, space.depths)
    ]
    figure = distribution_figure(space, *learned)
    for axes, distributions in zip(figure.axes, learned):
        cells = axes.images[0].get_array()
        for row, probabilities in zip(cells, distributions.values()):
            assert torch.allclose(torch.tensor(row.compressed()).float(), probabilities)
