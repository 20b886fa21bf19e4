"""What a user would write: torchvision's transforms on PIL images, a DataLoader, a loop in float32, MLflow."""

import time
from collections.abc import Callable
from typing import cast

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from difair_hpc.data.sets import ImageSet, OpenSetData
from difair_hpc.osr.method import Method
from difair_hpc.osr.vgg32 import VGG32

WORKERS = (0, 1, 2)
"""Worker processes of the DataLoader that are tried; 0: the training process loads the images itself."""


class Images(Dataset[tuple[torch.Tensor, int]]):
    """Images as torchvision's CIFAR10 keeps and gives them: an array, and each as a transformed PIL image."""

    def __init__(self, images: ImageSet, transform: Callable[[Image.Image], torch.Tensor]) -> None:
        """Take over uint8 images."""
        self._images_BHWC: np.ndarray = images.images_BCHW.permute(0, 2, 3, 1).contiguous().numpy()
        self._labels, self._transform = images.labels_B.tolist(), transform

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self._transform(Image.fromarray(self._images_BHWC[index])), self._labels[index]


class Written:
    """A training loop without any of our parts but network and loss."""

    def __init__(self, network: VGG32, method: Method, data: OpenSetData, *, batch: int, uri: str) -> None:
        """Make data set and optimizer, and begin a run in the MLflow store at `uri`."""
        import mlflow

        transform = v2.Compose(
            [
                v2.RandAugment(num_ops=1, magnitude=6),
                v2.RandomCrop(data.size, padding=4),
                v2.RandomHorizontalFlip(),
                v2.PILToTensor(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(data.mean_C.tolist(), data.std_C.tolist()),
            ]
        )
        self._network, self._method = network.to(memory_format=torch.contiguous_format), method  # type: ignore[call-overload]
        self._device = next(network.parameters()).device
        self._images, self._batch = Images(data.train, transform), batch
        self._optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)
        self._epochs = 0
        mlflow.set_tracking_uri(uri)
        mlflow.start_run()

    def best_workers(self) -> int:
        """Return with how many worker processes an epoch is done soonest; `epoch` uses them from then on."""
        seconds: dict[int, float] = {}
        loaders = {}
        for workers in WORKERS:
            loaders[workers] = self._loader = self._loading(workers)
            next(iter(self._loader))  # starts the processes
            begun = time.perf_counter()
            self.epoch()
            seconds[workers] = time.perf_counter() - begun
        best = min(seconds, key=seconds.__getitem__)
        self._loader = loaders[best]
        return best

    def epoch(self) -> None:
        """Train on every image once, and log the mean loss."""
        import mlflow

        total = 0.0
        for images_BCHW, labels_B in self._loader:
            output = self._network(images_BCHW.to(self._device))
            loss = self._method.loss(output, labels_B.to(self._device), self._network.head)
            self._optimizer.zero_grad()
            torch.autograd.backward(loss)
            self._optimizer.step()
            total += loss.item() * len(labels_B)
        self._epochs += 1
        rate = self._optimizer.param_groups[0]["lr"]
        mlflow.log_metrics({"train_loss": total / len(self._images), "learning_rate": rate}, step=self._epochs)

    def _loading(self, workers: int) -> DataLoader[tuple[torch.Tensor, int]]:
        return DataLoader(
            cast(Dataset[tuple[torch.Tensor, int]], self._images),
            batch_size=self._batch,
            shuffle=True,
            num_workers=workers,
            persistent_workers=workers > 0,
            # A fork of this process may hang: the thread that ships the run holds locks, as of a module it imports.
            multiprocessing_context="forkserver" if workers else None,
        )
