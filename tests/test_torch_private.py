"""Names of torch that are not public: they do what they are used for, and so does what stands in for them."""

import pytest
import torch

from toolkit.compute import torch_private
from toolkit.compute.torch_private import compiler_errors, move_each


@pytest.fixture(params=["at once", "one by one"])
def way(request, monkeypatch):
    if request.param == "one by one":
        monkeypatch.delattr(torch, "_foreach_lerp_")
    return request.param


def test_the_private_names_are_there_in_the_torch_installed_here():
    assert callable(torch._foreach_lerp_)
    assert [error.__name__ for error in compiler_errors()] == ["TorchDynamoException"]


def test_each_target_is_moved_by_the_share(way):
    targets, towards = [torch.zeros(2), torch.ones(1)], [torch.tensor([4.0, 8.0]), torch.tensor([5.0])]
    move_each(targets, towards, 0.25)
    assert [target.tolist() for target in targets] == [[1.0, 2.0], [2.0]]


def test_what_the_compiler_raises_is_known_by_its_errors():
    def refused(graph, inputs):
        raise RuntimeError("no such machine")

    with pytest.raises(compiler_errors()):
        torch.compile(lambda x: x + 1, backend=refused)(torch.ones(2))


def test_without_its_name_any_error_of_compiled_work_means_plain_work(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch._dynamo.exc", None)
    assert torch_private.compiler_errors() == (Exception,)
