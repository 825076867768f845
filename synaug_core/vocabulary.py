"""Words that several rooms choose between, each list once. Importing it costs nothing."""

from typing import Literal

__all__ = ["Alias", "Busy", "FileFormat", "Fit", "LogMode", "PoolKind", "Precision"]

Alias = Literal["champion", "challenger", "previous"]
"""What can point at a version of a registered model."""
Busy = Literal["cancel", "wait"]
"""What becomes of a run that would begin while another one of its data set goes on."""
FileFormat = Literal["onnx", "torchscript"]
"""Files of a model that need no synaug."""
Fit = Literal["crop", "pad", "stretch"]
"""How images that are not square are made so."""
LogMode = Literal["images", "features", "none"]
"""What the prediction service keeps of an answer."""
PoolKind = Literal["process", "docker", "kubernetes"]
"""What a Prefect work pool starts for a run."""
Precision = Literal["auto", "float32", "bfloat16"]
"""What a classifier's training multiplies in."""
