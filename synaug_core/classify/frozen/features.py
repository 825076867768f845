"""The features of images and of their augmented views by a frozen backbone, remembered within a process."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from synaug_core import seeds
from synaug_core.classify.augment import augment
from synaug_core.classify.frozen.folding import fold_normalisation
from synaug_core.classify.model import Classifier, as_float
from synaug_core.config import AugmentationConfig
from synaug_core.nets.shown import Standardised

__all__ = ["BATCH", "FeatureCache", "backbone_of", "features_of", "features_of_view", "predict_logits"]

BATCH = 32
"""Images whose features are computed between two signs of progress."""
_PASS_PIXELS = 4 * 224**2
"""Pixels of one pass on a CPU: the maps of so few images stay in its cache, and twice as many images are seen in a
second."""
_AT_ONCE = 4096
"""Images whose features are in memory together where a set is predicted."""
_CACHE_BYTES = 512 * 2**20
_PATIENCE = 1.0
"""Seconds after which who waits for features of others looks again."""


class FeatureCache:
    """Features of images by what they are of, the least recently used dropped first.

    Args:
        most_bytes: that the features may take.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.bytes = 0
        self._rows: OrderedDict[bytes, Tensor] = OrderedDict()
        self._claimed: set[bytes] = set()
        self._lock = threading.Condition()

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, key: bytes) -> Tensor | None:
        """The features under a key, float32 (d,) on the CPU; None where there are none."""
        with self._lock:
            row = self._rows.get(key)
            if row is not None:
                self._rows.move_to_end(key)
            return row

    @contextlib.contextmanager
    def claiming(self, keys: Sequence[bytes], most: int) -> Iterator[Sequence[bytes]]:
        """Within the block, nobody else who asks computes these features: at most so many of the keys, those that are
        neither there nor claimed. Where others have claimed all that are lacking, it waits until they are done with
        some, and there are none."""
        with self._lock:
            free = [key for key in keys if key not in self._rows and key not in self._claimed][:most]
            if not free and any(key not in self._rows for key in keys):
                self._lock.wait(timeout=_PATIENCE)
            self._claimed.update(free)
        try:
            yield free
        finally:
            with self._lock:
                self._claimed.difference_update(free)
                self._lock.notify_all()

    def put(self, key: bytes, row: Tensor) -> None:
        """Keep features, float32 (d,)."""
        row = row.detach().cpu().clone()
        with self._lock:
            if key in self._rows:
                return
            self._rows[key] = row
            self.bytes += row.nbytes
            while self.bytes > self.most_bytes:
                _, dropped = self._rows.popitem(last=False)
                self.bytes -= dropped.nbytes


_cache = FeatureCache(_CACHE_BYTES)


def features_of(
    model: Classifier,
    images: Tensor,
    *,
    cache: FeatureCache | None = _cache,
    after_batch: Callable[[], None] = lambda: None,
) -> Tensor:
    """The frozen backbone's features, as they are before the head standardises them.

    An image has the same features bit for bit whether they were remembered or not.

    Args:
        model: of `training: frozen`, where it is to be computed; in evaluation mode afterwards.
        images: uint8 (n, c, h, w).
        cache: where features are remembered, by the image's bytes and all that they depend on; None: nowhere.
        after_batch: called after each batch that was computed; may raise.

    Returns:
        float32 (n, d), where the model is.
    """
    identity = _identity(model)
    keys = [hashlib.sha256(identity + image).digest() for image in _bytes_of_each(images)]

    def compute(rows: list[int]) -> Tensor:
        network = _computing_network(model, identity, images.shape[-1])
        return _pass(model, network, images[rows].to(model.mean.device))

    return _recall(model, keys, compute, cache, after_batch)


def features_of_view(
    model: Classifier,
    images: Tensor,
    number: int,
    augmentation: AugmentationConfig,
    kind: Literal["traditional", "strong"],
    *,
    cache: FeatureCache | None = _cache,
    after_batch: Callable[[], None] = lambda: None,
) -> Tensor:
    """The features of one augmented view of each image; every image is changed.

    What a view is depends on the image, its number and the augmentation alone: trainings of all arms and repetitions
    have the same views of an image, and the backbone is shown them once.

    Args:
        model: as in `features_of`.
        images: uint8 (n, c, h, w).
        number: of the view, 0 or more.
        augmentation: what is done; its share of the images plays no part.
        kind: likewise.
        cache: as in `features_of`.
        after_batch: likewise.

    Returns:
        float32 (n, d), where the model is.
    """
    always = augmentation.model_copy(update={"probability": 1.0})
    identity = _identity(model)
    view = identity + repr([number, kind, always.model_dump()]).encode()
    keys = [hashlib.sha256(view + image).digest() for image in _bytes_of_each(images)]
    device = model.mean.device

    def compute(rows: list[int]) -> Tensor:
        views = []
        for row in rows:
            stream = seeds.stream(int.from_bytes(keys[row][:7], "big"), device)
            views.append(augment(as_float(images[row : row + 1].to(device)), always, stream, kind))
        return _pass(model, _computing_network(model, identity, images.shape[-1]), torch.cat(views))

    return _recall(model, keys, compute, cache, after_batch)


def _bytes_of_each(images: Tensor) -> Iterator[bytes]:
    for image in images.cpu().contiguous().numpy():
        yield image.tobytes()


def _recall(
    model: Classifier,
    keys: Sequence[bytes],
    compute: Callable[[list[int]], Tensor],
    cache: FeatureCache | None,
    after_batch: Callable[[], None],
) -> Tensor:
    """A row for each key, float32 (n, d), from the cache or computed; equal keys are computed once."""
    model.eval()
    device = model.mean.device
    if not keys:
        return torch.zeros(0, model.width, device=device)
    cache = FeatureCache(_CACHE_BYTES) if cache is None else cache
    places = {key: place for place, key in reversed(list(enumerate(keys)))}
    rows: dict[bytes, Tensor] = {}
    while lacking := [key for key in places if key not in rows]:
        rows |= {key: row for key in lacking if (row := cache.get(key)) is not None}
        with cache.claiming([key for key in lacking if key not in rows], BATCH) as claimed:
            if claimed:
                computed = compute([places[key] for key in claimed]).cpu()
                rows |= dict(zip(claimed, computed, strict=True))
                for key in claimed:
                    cache.put(key, rows[key])
                after_batch()
    return torch.stack([rows[key] for key in keys]).to(device)


def backbone_of(model: Classifier) -> Standardised:
    """The frozen backbone.

    Raises:
        TypeError: a classifier that was trained otherwise.
    """
    if not isinstance(model.backbone, Standardised):
        raise TypeError("a classifier of `training: frozen` is needed")
    return model.backbone


def _pass(model: Classifier, network: nn.Module, images: Tensor) -> Tensor:
    """Features of images, uint8 or float in [0, 1], in passes of always as many: a smaller last one is filled up,
    because sums in batches of another size differ in their last digit. So an image has the same features in whatever
    company it comes."""
    size = BATCH if images.is_cuda else max(1, min(BATCH, _PASS_PIXELS // _shown(model, images.shape[-1]) ** 2))
    filling = images.new_zeros(-len(images) % size, *images.shape[1:])
    with torch.no_grad():
        passes = torch.split(torch.cat([images, filling]), size)
        features = torch.cat([network(model.normalised(part)) for part in passes])
    return features.float()[: len(images)]


def _shown(model: Classifier, size: int) -> int:
    """Pixels a side that the backbone sees of images of `size`."""
    return size if model.resize is None else model.resize.shown


_networks: OrderedDict[bytes, nn.Module] = OrderedDict()
_NETWORKS = 4
"""Most networks that are remembered in the form in which they compute."""
_networks_lock = threading.Lock()


def _computing_network(model: Classifier, identity: bytes, size: int) -> nn.Module:
    """The frozen backbone in the form in which it computes fastest, for images of `size` pixels a side."""
    with _networks_lock:
        if (network := _networks.pop(identity, None)) is None:
            shown, device = _shown(model, size), model.mean.device
            noise = torch.randn(2, model.mean.shape[1], shown, shown, generator=seeds.stream(0)).to(device)
            network = fold_normalisation(backbone_of(model).features, noise)
        _networks[identity] = network
        while len(_networks) > _NETWORKS:
            _networks.popitem(last=False)
        return network


def _identity(model: Classifier) -> bytes:
    """Equal where the same image has the same features."""
    digest = hashlib.sha256()
    shown = None if model.resize is None else list(model.resize.matrix.shape)
    architecture = repr(model.backbone)  # equal weights may stand in networks of other strides
    digest.update(repr([shown, architecture, str(model.mean.device), torch.get_num_threads()]).encode())
    for tensor in (model.mean, model.std, *backbone_of(model).features.state_dict().values()):
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.digest()


def predict_logits(model: Classifier, images: Tensor) -> Tensor:
    """Float32 logits (n, classes) of uint8 images (n, c, h, w), from features that may be remembered."""
    backbone = backbone_of(model)
    with torch.no_grad():
        parts = [model.head(backbone.standardise(features_of(model, p))) for p in torch.split(images, _AT_ONCE)]
    return torch.cat(parts)
