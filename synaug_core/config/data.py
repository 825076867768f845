"""What images come in, and how they are checked and split."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from synaug_core.config.base import Count, Section
from synaug_core.data import sources
from synaug_core.vocabulary import Fit

__all__ = [
    "PRETRAINED_PIXELS",
    "SMALL_PIXELS",
    "DataConfig",
    "DuplicateConfig",
    "Related",
    "SmallClasses",
    "SplitConfig",
]

SMALL_PIXELS, PRETRAINED_PIXELS = 64, 224
"""Most pixels a side that images are stored with where nobody says: for networks that learn from scratch, and for those
that have learnt from large images."""
Handling = Literal["remove", "keep"]
Share = Annotated[float, Field(gt=0, lt=1)]
Related = Literal["features", "pixels", "apart"]
SmallClasses = Literal["refuse", "drop", "keep"]


class SplitConfig(Section):
    """How images without a supplied split are divided. Groups, near-duplicates and related images stay together."""

    validation: Share = 0.15
    """Share of the images that are divided, used for every choice; with `draws` of the images that are drawn."""
    test: Share | None = None
    """Share of the images that are divided, read once, at the end; default: a quarter, with `draws` half."""
    folds: Annotated[int, Field(ge=2, le=20)] | None = None
    """k-fold cross-validation instead of one test part: each image is a test image once in every repetition, and each
    repetition divides anew. `test` has no part in it."""
    draws: bool = False
    """Each repetition draws training and validation images of its own, as many as `per_class` or `long_tail` says,
    from all that are not in the one test part, which is large and stays: effects of one or two points are seen."""

    @model_validator(mode="after")
    def _leave_something_to_train_on(self) -> "SplitConfig":
        if self.draws:
            if self.folds is not None:
                raise ValueError("folds and draws are two designs; choose one")
            return self
        test = self.test_share if self.folds is None else 1 / self.folds
        if self.validation + test >= 1:
            raise ValueError("validation and test together must leave a part for training")
        return self

    @property
    def test_share(self) -> float:
        """`test`, or its default."""
        return self.test if self.test is not None else 0.5 if self.draws else 0.25

    @property
    def division_word(self) -> Literal["fold", "draw"] | None:
        """What a division is called where there are several; None: one division serves all repetitions."""
        return "draw" if self.draws else "fold" if self.folds is not None else None


class DuplicateConfig(Section):
    """Equal and nearly equal images."""

    distance: Annotated[int, Field(ge=-1, le=16)] = 6
    """Largest Hamming distance of 64-bit perceptual hashes that makes two images candidates; -1: equal pixels only."""
    correlation: Annotated[float, Field(ge=0, le=1)] = 0.97
    """Candidates are near-duplicates when what sets their grey thumbnails apart from the mean of all other images
    correlates at least this much."""
    across_splits: Handling = "remove"
    """What happens to training or validation images that stand in a later split too."""
    conflicting_labels: Handling = "remove"
    """What happens to equal images with different labels in training."""
    related: Related = "features"
    """How related images are sought: probable views of one thing that no hash can see, such as exposures of one part in
    other light, frames of a film, overlapping patches. None is removed; they stay on one side of a split made here, and
    of a supplied one the report says how many stand on two. `features`: by low-frequency pixels and the features of a
    pretrained network together; `pixels`: by the pixels alone, as where its weights cannot be had or the images are
    more than 20,000; `apart`: not at all, as of more than 100,000. Images whose group is named are left to it."""


class DataConfig(Section):
    """Images, classes and splits."""

    source: str = Field("digits", description=f"Images: {sources.WHAT_TO_GIVE}; folders and files also in S3.")
    metadata: str | None = None
    """A file that says more of the images: a table (CSV, as Excel exports it too, .tsv, .jsonl) with the columns id
    (the path below the folder, or its end) and, optionally, label (the class, where no folder names it), group and
    split, or with the usual names for these; or an export of COCO, Label Studio or FiftyOne (.json). Where it is not
    beside the configuration, it is sought in the source's folder. Default: the one file in a folder without class
    folders that names classes."""
    classes: tuple[str, ...] | None = None
    """Only these classes, in this order; default: all, sorted by name."""
    image_size: Annotated[int, Field(ge=16, le=512)] | None = None
    """Side length in pixels after resizing; default: the images' own, within 16 to 64, or to 224 where a
    pretrained network may see them (less where the images are so many that they would not fit into memory)."""
    fit: Fit | Literal["auto"] = "auto"
    """How images that are not square are made so: the middle is cut out (`crop`), edges are added (`pad`), or they are
    stretched (`stretch`). `auto`: `pad` where half of the images or more are at least 1.25 times as long as wide,
    so that nothing is cut off that tells the class, and else `crop`."""
    masks: Literal["ignore", "crop"] = "ignore"
    """What masks beside the images (`NAME_mask.png` beside `NAME.png`, `masks/NAME.png`) are for, in a folder of class
    folders: nothing, or each image is cut to the square around what its mask marks, with a quarter of its length on
    each side, so that a small defect in a long image is seen. An image without a mask, or with an empty one, stays
    whole. What a model classifies later has to be cut in the same way."""
    channels: Literal[1, 3] | None = None
    """1 (grey) or 3 (colour); default: 1 where every image is grey."""
    split: SplitConfig = SplitConfig()
    duplicates: DuplicateConfig = DuplicateConfig()
    small_classes: SmallClasses = "refuse"
    """What happens to a class with fewer than `min_per_class` training images."""
    min_per_class: Count = 5
    """Fewest training images a class may have."""
    max_classes: Annotated[int, Field(ge=2)] | None = None
    """At most this many classes, the first ones in their order."""
    per_class: Count | dict[str, Count] | None = None
    """Low-data mode: at most this many training images of each class, or of each named class and of the others
    (`{rare: 20, default: 100}`; without `default` the others keep all); a smaller number takes a part of a
    larger's."""
    long_tail: Annotated[float, Field(ge=1)] | None = None
    """Thin the training images out so that the largest class has this many times the smallest's images
    (exponential profile, classes in their order)."""
    max_rejected: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Largest share of files that may be unreadable before the run ends."""
    max_megapixels: Annotated[float, Field(gt=0, le=178)] = 50.0
    """Larger images are rejected unread."""
    max_megabytes: Annotated[float, Field(gt=0)] = 64.0
    """Larger files are rejected unread."""

    @model_validator(mode="after")
    def _draws_are_of_a_size(self) -> "DataConfig":
        if self.split.draws and not self.leaves_images_out:
            raise ValueError(
                "split.draws: say how many training images each repetition draws, by data.per_class (such as 20, or "
                "{rare: 20, default: 100}) or data.long_tail"
            )
        return self

    @property
    def leaves_images_out(self) -> bool:
        """Whether real images are left out of training to make it small or imbalanced."""
        return self.per_class is not None or self.long_tail is not None
