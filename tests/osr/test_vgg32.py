"""VGG32: the paper's size, its settings, and weights that come from the given generator alone."""

import pytest
import torch
from torch import nn

from difair_hpc.osr.losses import last_conv_spread
from difair_hpc.osr.spec import NetworkSpec
from difair_hpc.osr.vgg32 import VGG32, ConvUnit, NetworkOutput, PointSpec

PLAIN = NetworkSpec(dropout_rate=0.0)


def _network(
    *, channels: int = 3, classes: int = 6, features: int | None = 5, seed: int = 0, spec: NetworkSpec = PLAIN
) -> VGG32:
    generator = torch.Generator().manual_seed(seed)
    return VGG32(channels=channels, classes=classes, features_per_class=features, spec=spec, generator=generator)


def _images(count: int = 2, channels: int = 3, size: int = 16) -> torch.Tensor:
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(9))


def _parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("channels", "classes", "features", "parameters"),
    [
        (3, 6, 5, 1_033_664),
        (1, 6, 5, 1_032_512),
        (3, 4, 5, 1_022_144),
        (3, 10, 5, 1_056_704),
        (3, 20, 5, 1_114_304),
        (3, 6, None, 999_872),
        (1, 6, None, 998_720),
        (3, 10, None, 1_000_384),
    ],
)
def test_number_of_parameters(channels: int, classes: int, features: int | None, parameters: int) -> None:
    assert _parameters(_network(channels=channels, classes=classes, features=features)) == parameters


@pytest.mark.parametrize("padding", ["pytorch", "keras"])
@pytest.mark.parametrize(("channels", "size"), [(1, 8), (3, 8), (3, 32), (1, 64)])
def test_both_heads_take_any_size_divisible_by_8(channels: int, size: int, padding: str) -> None:
    spec = NetworkSpec(padding="keras" if padding == "keras" else "pytorch")
    images = _images(channels=channels, size=size)
    features, no_logits = _network(channels=channels, spec=spec)(images)
    assert features.shape == (2, 30)
    assert no_logits is None
    features, logits = _network(channels=channels, features=None, spec=spec)(images)
    assert (features.shape, logits.shape) == ((2, 128), (2, 6))


def test_encoder_halves_the_size_three_times() -> None:
    assert _network().encoder(_images(size=32)).shape == (2, 128, 4, 4)


def test_logits_are_a_linear_map_of_the_features() -> None:
    network = _network(features=None).eval()
    features, logits = network(_images())
    assert network.linear is not None
    torch.testing.assert_close(logits, features @ network.linear.weight.T)


def test_features_are_means_over_positions() -> None:
    network = _network().eval()
    maps = network.encoder(_images())
    weight = network.head["weight"]
    by_hand = nn.functional.conv2d(maps, weight, padding=1).flatten(2).sum(dim=2) / 4  # 16 px end as 2x2 positions
    torch.testing.assert_close(network(_images()).features_BD, by_hand)
    torch.testing.assert_close(_network(features=None).eval()(_images()).features_BD, maps.flatten(2).sum(dim=2) / 4)


def test_the_head_says_what_it_learns() -> None:
    weight = _network().head["weight"]
    assert weight.shape == (30, 128, 3, 3)
    assert {name: tensor.shape for name, tensor in _network(features=None).head.items()} == {"weight": (6, 128)}


def test_rows_of_the_last_conv_are_the_features() -> None:
    network = _network().eval()
    weight = network.head["weight"]
    with torch.no_grad():
        weight[5:10] = 0
        features = network(_images()).features_BD
    assert not features[:, 5:10].any()
    assert features[:, :5].all()


@pytest.mark.parametrize(("features", "head"), [(5, "last_conv.weight"), (None, "linear.weight")])
def test_weights_come_from_the_generator_and_leave_the_global_one_alone(features: int | None, head: str) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = _network(features=features, seed=7).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    second = _network(features=features, seed=7).state_dict()
    other = _network(features=features, seed=8).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first[head], other[head])


def test_initial_weights_have_their_distributions() -> None:
    network = _network(channels=3, classes=6)
    units = [layer for layer in network.encoder if isinstance(layer, ConvUnit)]
    assert len(units) == 9
    for unit in units[1:]:
        assert unit.conv.weight.std().item() == pytest.approx(0.05, rel=0.02)
        assert unit.conv.weight.abs().max().item() > 0.15  # normal, not uniform
        assert (unit.norm.weight == 1).all()
        assert (unit.norm.bias == 0).all()
    weight = network.head["weight"]
    limit = (6 / (9 * 128 + 9 * 30)) ** 0.5  # Glorot: sqrt(6 / (fan in + fan out)) = 0.065
    assert weight.abs().max().item() == pytest.approx(limit, rel=1e-3)
    # What Figure 3b starts from: a uniform weight has std limit / sqrt(3) = 0.0375, 5 of them 0.032 by the population.
    assert last_conv_spread(weight, 6).mean().item() == pytest.approx(0.0325, abs=0.001)


def test_linear_head_is_glorot_uniform() -> None:
    linear = _network(features=None, classes=10).linear
    assert linear is not None
    assert linear.weight.abs().max().item() == pytest.approx((6 / 138) ** 0.5, rel=0.01)


def _all_ones_unit(spec: NetworkSpec) -> torch.Tensor:
    unit = ConvUnit(1, 1, stride=2, spec=spec).eval()
    nn.init.ones_(unit.conv.weight)
    sums: torch.Tensor = unit(torch.ones(1, 1, 4, 4)) * (1 + spec.batch_norm_epsilon) ** 0.5
    return sums[0, 0]


def test_stride_2_pads_where_the_setting_says() -> None:
    # A 3x3 window of ones over 4x4 ones counts the pixels that are not padding.
    everywhere = _all_ones_unit(NetworkSpec(padding="pytorch"))
    at_the_end = _all_ones_unit(NetworkSpec(padding="keras"))
    torch.testing.assert_close(everywhere, torch.tensor([[4.0, 6.0], [6.0, 9.0]]))
    torch.testing.assert_close(at_the_end, torch.tensor([[9.0, 6.0], [6.0, 4.0]]))


def test_padding_changes_features_but_not_weights() -> None:
    pytorch, keras = (_network(spec=NetworkSpec(padding=p)).eval() for p in ("pytorch", "keras"))
    keras.load_state_dict(pytorch.state_dict())
    difference = pytorch(_images()).features_BD - keras(_images()).features_BD
    assert difference.abs().max().item() > 1e-3


def test_negative_values_leak_with_slope_a_fifth() -> None:
    unit = ConvUnit(1, 1, stride=1, spec=NetworkSpec(batch_norm_epsilon=1e-12)).eval()
    nn.init.zeros_(unit.conv.weight)
    with torch.no_grad():
        unit.conv.weight[0, 0, 1, 1] = 1.0
    assert unit(torch.tensor([[[[5.0, -5.0]]]])).flatten().tolist() == pytest.approx([5.0, -1.0])


def test_running_statistics_move_by_the_given_share() -> None:
    unit = ConvUnit(1, 1, stride=1, spec=NetworkSpec(batch_norm_momentum=0.01))
    nn.init.zeros_(unit.conv.weight)
    with torch.no_grad():
        unit.conv.weight[0, 0, 1, 1] = 1.0
    unit(torch.tensor([[[[3.0, 5.0]]]]))
    # Mean 4: 0.99 * 0 + 0.01 * 4. Unbiased variance 2: 0.99 * 1 + 0.01 * 2.
    assert unit.norm.running_mean is not None
    assert unit.norm.running_var is not None
    assert unit.norm.running_mean.item() == pytest.approx(0.04)
    assert unit.norm.running_var.item() == pytest.approx(1.01)


def test_an_image_is_scored_alone_in_evaluation() -> None:
    network = _network(spec=NetworkSpec()).eval()
    images = _images(4)
    together, alone = network(images).features_BD, network(images[2:3]).features_BD
    torch.testing.assert_close(together[2:3], alone, rtol=1e-4, atol=1e-5)
    order = torch.tensor([3, 1, 0, 2])
    torch.testing.assert_close(network(images[order]).features_BD, together[order], rtol=1e-4, atol=1e-5)


def _dropped(spec: NetworkSpec) -> torch.Tensor:
    torch.manual_seed(0)
    dropout = _network(channels=3, spec=spec).encoder[0]
    dropped: torch.Tensor = dropout(torch.ones(20, 3, 8, 8)) == 0
    return dropped


def test_dropout_drops_values_or_whole_channels() -> None:
    values, channels = _dropped(NetworkSpec(dropout="element")), _dropped(NetworkSpec(dropout="channel"))
    assert values.float().mean().item() == pytest.approx(0.2, abs=0.03)
    per_channel = channels.flatten(2).float().mean(dim=2)
    assert set(per_channel.flatten().tolist()) == {0.0, 1.0}
    assert 0 < values.flatten(2).float().mean(dim=2).min() < values.flatten(2).float().mean(dim=2).max() < 1


def test_dropout_begins_each_encoder_block_and_only_acts_in_training() -> None:
    network = _network(spec=NetworkSpec(dropout_rate=0.5))
    kinds = [type(layer).__name__ for layer in network.encoder]
    assert kinds == ["Dropout", "ConvUnit", "ConvUnit", "ConvUnit"] * 3
    network.eval()
    assert torch.equal(network(_images()).features_BD, network(_images()).features_BD)
    network.train()
    assert not torch.equal(network(_images()).features_BD, network(_images()).features_BD)


@pytest.mark.parametrize("features", [5, None])
def test_the_head_stays_in_float32_under_autocast(features: int | None) -> None:
    network = _network(features=features).eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output: NetworkOutput = network(_images())
    assert output.features_BD.dtype == torch.float32
    assert output.logits_BK is None or output.logits_BK.dtype == torch.float32
    torch.testing.assert_close(output.features_BD, network(_images()).features_BD, atol=0.05, rtol=0.05)


def _with_auxiliary_norm(*, auxiliary_norm: bool = True) -> VGG32:
    return VGG32(
        channels=1,
        classes=6,
        features_per_class=None,
        points=PointSpec(scale=0.1, radius=True),
        auxiliary_norm=auxiliary_norm,
        spec=PLAIN,
        generator=torch.Generator().manual_seed(0),
    )


@pytest.mark.parametrize("generated", [True, False])
def test_each_set_of_norms_sees_its_own_images_only(*, generated: bool) -> None:
    network = _with_auxiliary_norm()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    output = network(_images(channels=1), generated=generated)
    output.features_BD.sum().backward()
    moved = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    own = "generated_norm" if generated else "norm"
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    assert {name.split(".", 2)[2] for name in moved} == {f"{own}.{name}" for name in statistics}
    trained = {name.split(".")[2] for name, tensor in network.named_parameters() if tensor.grad is not None}
    assert trained == {"conv", own}


def test_auxiliary_norms_are_2048_more_parameters_and_no_other_weights() -> None:
    plain, double = (_with_auxiliary_norm(auxiliary_norm=wanted) for wanted in (False, True))
    assert _parameters(double) - _parameters(plain) == 2048
    mine, other = plain.state_dict(), double.state_dict()
    assert all(torch.equal(mine[name], other[name]) for name in mine)
    images = _images(channels=1)
    assert torch.equal(plain.eval()(images).features_BD, double.eval()(images).features_BD)


def test_generated_images_need_the_auxiliary_norms() -> None:
    with pytest.raises(AssertionError, match="auxiliary"):
        _with_auxiliary_norm(auxiliary_norm=False)(_images(channels=1), generated=True)
