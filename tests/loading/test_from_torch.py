"""PyTorch modules come through the same door, with their state dict's names, a free batch and nothing changed."""

import sys

import networks
import numpy as np
import onnx_ir as ir
import pytest

from bitsmith.errors import LoadError
from bitsmith.loading.from_onnx import load
from bitsmith.loading.from_torch import from_torch

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")
nn = torch.nn


class Small(nn.Module):
    """Convolution, batch normalization with statistics of its own, dropout, a strided slice, linear."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.drop, self.head = nn.Dropout(0.5), nn.Linear(64, 3)
        self.bn.running_mean.uniform_(-1, 1)

    def forward(self, image):
        x = torch.relu(self.bn(self.conv(image)))[:, :, ::2, ::2]
        return self.head(self.drop(x).flatten(1))


class TwoWays(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.mix = nn.Embedding(10, 4), nn.Linear(4, 4)

    def forward(self, ids, gain):
        x = self.mix(self.embed(ids)) * gain[:, None]
        return x, x.mean(1)


@pytest.fixture(scope="module")
def small() -> tuple["nn.Module", ir.Model]:
    torch.manual_seed(0)
    module = Small()
    return module, load(module, torch.zeros(1, 2, 8, 8))


def test_it_computes_what_the_module_computes(small: tuple["nn.Module", ir.Model]) -> None:
    module, model = small
    images = torch.randn(5, 2, 8, 8)
    module.eval()
    found = networks.run(ir.to_proto(model), {"image": images.numpy()})["output"]
    np.testing.assert_allclose(found, module(images).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_names_are_the_state_dicts(small: tuple["nn.Module", ir.Model]) -> None:
    module, model = small
    parameters = {name for name in module.state_dict() if "num_batches_tracked" not in name}
    assert parameters <= set(model.graph.initializers)
    assert [value.name for value in model.graph.inputs] == ["image"]
    assert [value.name for value in model.graph.outputs] == ["output"]


def test_no_weight_seems_to_depend_on_the_input(small: tuple["nn.Module", ir.Model]) -> None:
    """Otherwise batch normalization could not be folded."""
    assert all(node.op_type != "CastLike" for node in small[1].graph)


def test_the_batch_is_free_though_the_example_has_one(small: tuple["nn.Module", ir.Model]) -> None:
    graph = small[1].graph
    assert [str(dim) for dim in graph.inputs[0].shape] == ["batch", "2", "8", "8"]
    assert [str(dim) for dim in graph.outputs[0].shape] == ["batch", "3"]
    assert small[1].opset_imports == {"": 21}


def test_training_goes_on_without_the_loaded_network() -> None:
    module = Small()
    module.bn.eval()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    model = from_torch(module, torch.zeros(2, 2, 8, 8))
    assert [module.training, module.conv.training, module.bn.training] == [True, True, False]
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    weight = model.graph.initializers["conv.weight"].const_value.numpy().copy()
    with torch.no_grad():
        module.conv.weight.zero_()
    np.testing.assert_array_equal(model.graph.initializers["conv.weight"].const_value.numpy(), weight)


@pytest.mark.parametrize("by_name", [False, True])
def test_several_inputs_and_outputs(by_name: bool) -> None:
    ids, gain = np.array([[1, 2, 3], [4, 5, 6]]), np.float32([[1, 2, 3, 4], [5, 6, 7, 8]])
    module = TwoWays()
    model = from_torch(module, {"ids": ids, "gain": gain} if by_name else (ids, gain))
    assert [value.name for value in model.graph.inputs] == ["ids", "gain"]
    found = networks.run(ir.to_proto(model), {"ids": ids, "gain": gain})
    for array, expected in zip(found.values(), module(torch.as_tensor(ids), torch.as_tensor(gain)), strict=True):
        np.testing.assert_allclose(array, expected.detach().numpy(), rtol=1e-5, atol=1e-6)


class Wayward(nn.Module):
    def forward(self, x):
        return x * 2 if x.sum() > 0 else x


@pytest.mark.parametrize(("module", "example", "message"), [
    (Small(), None, "came without example inputs"),
    (Small(), np.float32(3), "is a single number"),
    (Small(), torch.zeros(2, 5, 8, 8), "PyTorch cannot export Small"),
    (Wayward(), torch.zeros(2, 3), "PyTorch cannot export Wayward"),
    ("net.pth", torch.zeros(2, 3), "not a str"),
])
def test_what_cannot_be_traced(module: object, example: object, message: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(LoadError, match=message) as caught:
        from_torch(module, example)
    assert str(caught.value).isprintable()
    assert capfd.readouterr() == ("", "")       # torch would print the graph it gave up on


@pytest.mark.parametrize("missing", ["torch", "onnxscript"])
def test_without_the_extra_it_says_what_to_install(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(LoadError, match=rf"needs '{missing}'; install it with: pip install 'bitsmith\[torch\]'"):
        from_torch(Small(), torch.zeros(1, 2, 8, 8))
