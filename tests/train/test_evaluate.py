"""One pass over the images, as they are, without a trace in the network."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from difair_hpc.data.batches import normalise
from difair_hpc.data.sets import ImageSet
from difair_hpc.osr.method import Centres, Head
from difair_hpc.osr.methods import Cac, CrossEntropy
from difair_hpc.osr.spec import CacSpec, CrossEntropySpec, DifairSpec, NetworkSpec
from difair_hpc.osr.vgg32 import VGG32, NetworkOutput
from difair_hpc.train.evaluate import batch_size, evaluate, outputs
from difair_hpc.train.trainer import new_state
from tests.train.tiny import task, tiny_data, trained


def test_outputs_are_those_of_the_images_as_they_are_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    data = tiny_data()
    network = trained(task(CrossEntropySpec()))[0].network
    monkeypatch.setattr("difair_hpc.train.evaluate.batch_size", lambda *_: 7)
    found = outputs(network, data.known, data)
    network.eval()
    with torch.no_grad():
        expected = network(normalise(data.known.images_BCHW, data.mean_C, data.std_C))
    torch.testing.assert_close(found.features_BD, expected.features_BD)
    torch.testing.assert_close(found.logits_BK, expected.logits_BK)
    assert not found.features_BD.requires_grad


@pytest.mark.parametrize(
    ("size", "device", "images"),
    # 768 bytes per pixel of 2 GiB or 256 MiB: 2,730 and 341 images of 32 x 32 pixels, 682 and 85 of 64 x 64.
    [(32, "cuda", 2048), (64, "cuda", 512), (32, "cpu", 256), (64, "cpu", 64), (8, "cpu", 4096), (1000, "cpu", 1)],
)
def test_as_many_images_pass_at_once_as_the_stated_memory_takes(size: int, device: str, images: int) -> None:
    assert batch_size(size, torch.device(device)) == images


class Narrow(VGG32):
    """Has memory for some images at a time, in evaluation."""

    room = 5

    def forward(self, images_BCHW: Tensor, *, generated: bool = False) -> NetworkOutput:
        if len(images_BCHW) > self.room:
            raise torch.OutOfMemoryError("no room")
        return super().forward(images_BCHW, generated=generated)


def test_fewer_images_pass_at_once_where_memory_does_not_suffice() -> None:
    data = tiny_data()
    network = new_state(task(CrossEntropySpec()), NetworkSpec()).network
    expected = outputs(network, data.known, data)
    network.__class__ = Narrow
    found = outputs(network, data.known, data)
    torch.testing.assert_close(found.features_BD, expected.features_BD)
    torch.testing.assert_close(found.logits_BK, expected.logits_BK)
    network.room = 0  # type: ignore[assignment]
    with pytest.raises(torch.OutOfMemoryError, match="no room"):
        outputs(network, data.known, data)
    assert network.training


@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_left_in_its_mode_and_unchanged(*, training: bool) -> None:
    work = task()
    network = new_state(work, NetworkSpec()).network.train(training)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    evaluate(network, work.method, work.data)
    assert network.training is training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


class SeenCrossEntropy(CrossEntropy):
    """Remembers what the class centres were made of."""

    given: NetworkOutput
    labels_B: Tensor

    def centres(self, train_output: NetworkOutput, labels_B: Tensor, head: Head) -> Centres:
        self.given, self.labels_B = train_output, labels_B
        return super().centres(train_output, labels_B, head)


class SeenCac(Cac):
    """Remembers what the class centres were made of."""

    given: NetworkOutput
    labels_B: Tensor

    def centres(self, train_output: NetworkOutput, labels_B: Tensor, head: Head) -> Centres:
        self.given, self.labels_B = train_output, labels_B
        return super().centres(train_output, labels_B, head)


@pytest.mark.parametrize("method", [SeenCrossEntropy(CrossEntropySpec()), SeenCac(CacSpec(), 6)])
def test_class_centres_come_from_all_training_images_without_augmentation(method: SeenCrossEntropy | SeenCac) -> None:
    data = tiny_data()
    network = new_state(task(CrossEntropySpec(), crop_padding=2, flip=True), NetworkSpec()).network
    evaluate(network, method, data)
    expected = outputs(network, data.train, data)
    assert torch.equal(method.given.features_BD, expected.features_BD)
    assert expected.logits_BK is not None
    assert method.given.logits_BK is not None
    assert torch.equal(method.given.logits_BK, expected.logits_BK)
    assert torch.equal(method.labels_B, data.train.labels_B)


def test_a_class_that_is_never_right_is_warned_about() -> None:
    work = task(CrossEntropySpec())
    network = new_state(work, NetworkSpec()).network
    assert network.linear is not None
    with torch.no_grad():
        network.linear.weight.zero_()  # all logits tie: class 0 wins everywhere
    evaluation, warnings = evaluate(network, work.method, work.data)
    assert [warning.split()[:2] for warning in warnings] == [["class", str(c)] for c in range(1, 6)]
    share = (work.data.known.labels_B == 0).double().mean().item()
    assert evaluation.closed_set_accuracy == pytest.approx(share)


def test_without_unknown_images_the_closed_set_metrics_remain() -> None:
    data = tiny_data()
    none = ImageSet(images_BCHW=data.unknown.images_BCHW[:0], labels_B=data.unknown.labels_B[:0])
    work = task(DifairSpec())
    evaluation, _ = evaluate(new_state(work, NetworkSpec()).network, work.method, replace(data, unknown=none))
    assert evaluation.auroc == evaluation.oscr == evaluation.fpr95 == evaluation.aupr == {}
    assert evaluation.unknown_images == 0
    assert evaluation.known_images == 24
    assert evaluation.occupancy is not None
