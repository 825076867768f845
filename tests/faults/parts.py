"""The faults that are done to single operations, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tests.faults.table import ALL, ONE_LINE, RECOVERS, Expected
from tests.s3.faults import LISTING, Kind

Place = Literal["s3", "mlflow"]


@dataclass(frozen=True)
class PartFault:
    """One fault.

    Attributes:
        id: short and for ever.
        what: is injected, in words.
        operation: what is done meanwhile: see `Operations` in test_parts.py.
        place: between whom and everybody else the answers are spoilt.
        kind: of the spoiling.
        times: so many requests.
        method, part: those requests; of several parts with `*` between them, all have to be in the path.
        expected: of the operation.
        says: has to be in the one line.
    """

    id: str
    what: str
    operation: str
    place: Place
    kind: Kind
    times: int
    method: str
    part: str
    expected: Expected = RECOVERS
    says: str = ""

    def hits(self, method: str, path: str) -> bool:
        """Whether a request is one of those."""
        return method == self.method and all(part in path for part in self.part.split("*"))


PART_FAULTS = (
    PartFault("images-503", "S3 answers 503 six times while images are fetched",
              "mirror", "s3", "503", 6, "GET", "/pets/"),
    PartFault("images-503-always", "S3 answers every request for an image with 503",
              "mirror", "s3", "503", ALL, "GET", "/pets/", ONE_LINE, "the server says SlowDown"),
    PartFault("images-slow", "S3 takes 1.5 s for each of 12 images",
              "mirror", "s3", "slow", 12, "GET", "/pets/"),
    PartFault("images-cut", "the connection breaks in the midst of 8 images",
              "mirror", "s3", "cut", 8, "GET", "/pets/"),
    PartFault("images-cut-always", "the connection breaks in the midst of every image",
              "mirror", "s3", "cut", ALL, "GET", "/pets/", ONE_LINE, "s3://"),
    PartFault("images-short", "8 images come with half their bytes and a length that fits",
              "mirror", "s3", "short", 8, "GET", "/pets/"),
    PartFault("images-bit", "one bit is wrong in 8 images",
              "mirror", "s3", "corrupt", 8, "GET", "/pets/"),
    PartFault("images-bit-always", "one bit is wrong in every image each time",
              "mirror", "s3", "corrupt", ALL, "GET", "/pets/", ONE_LINE, "wrong bytes"),
    PartFault("images-dropped", "8 requests for images get no answer at all",
              "mirror", "s3", "drop", 8, "GET", "/pets/"),
    PartFault("images-listing", "the listing of the images breaks off",
              "mirror", "s3", "cut", 1, "GET", LISTING),
    PartFault("images-expired", "the S3 token expires before the images are fetched",
              "mirror", "s3", "expired", ALL, "GET", "/pets/", ONE_LINE, "no access to"),
    PartFault("upload-503", "S3 answers MLflow's server 503 three times",
              "artifact", "s3", "503", 3, "PUT", "model"),
    PartFault("upload-bit", "one bit turns on the way from MLflow's server to S3",
              "artifact", "s3", "spoilt", 1, "PUT", "model"),
    PartFault("upload-lost", "MLflow's answer to an upload is lost",
              "artifact", "mlflow", "lost", 1, "PUT", "model"),
    PartFault("upload-mlflow-503", "MLflow's server answers an upload 503 twice",
              "artifact", "mlflow", "503", 2, "PUT", "model"),
    PartFault("upload-expired", "the S3 token of MLflow's server expires",
              "artifact", "s3", "expired", ALL, "PUT", "model", ONE_LINE, "MLflow's server"),
    PartFault("download-cut", "MLflow's answer about where an artifact lies breaks off, twice",
              "artifact", "mlflow", "cut", 2, "GET", "model/weights"),
    PartFault("download-s3-cut", "the connection breaks in the midst of an artifact, twice",
              "artifact", "s3", "cut", 2, "GET", "model/weights"),
    PartFault("download-short", "half an artifact comes as if it were whole, twice",
              "artifact", "s3", "short", 2, "GET", "model/weights"),
    PartFault("download-bit", "one bit is wrong in an artifact, twice",
              "artifact", "s3", "corrupt", 2, "GET", "model/weights"),
    PartFault("download-bit-always", "one bit is wrong in an artifact each time",
              "artifact", "s3", "corrupt", ALL, "GET", "model/weights", ONE_LINE, "is damaged"),
    PartFault("direct-upload-503", "S3 answers an upload 503 three times, no server in between",
              "direct artifact", "s3", "503", 3, "PUT", "model"),
    PartFault("direct-upload-bit", "one bit turns on the way to S3, no server in between",
              "direct artifact", "s3", "spoilt", 1, "PUT", "model"),
    PartFault("direct-upload-lost", "S3's answer to an upload is lost, no server in between",
              "direct artifact", "s3", "lost", 1, "PUT", "model"),
    PartFault("direct-download-short", "S3 gives half an artifact as if it were whole, twice",
              "direct artifact", "s3", "short", 2, "GET", "model/weights"),
    PartFault("direct-download-bit", "one bit is wrong in an artifact that S3 gives, twice",
              "direct artifact", "s3", "corrupt", 2, "GET", "model/weights"),
    PartFault("run-lost", "MLflow's answer to a new run is lost",
              "record", "mlflow", "lost", 1, "POST", "runs/create"),
    PartFault("values-lost", "MLflow's answer to a batch of values is lost",
              "record", "mlflow", "lost", 1, "POST", "log-batch"),
    PartFault("values-503", "MLflow answers 503 to three calls",
              "record", "mlflow", "503", 3, "POST", "runs/"),
    PartFault("search-cut", "MLflow's answer breaks off in the midst of a list of runs",
              "record", "mlflow", "cut", 1, "POST", "runs/search"),
    PartFault("result-503", "S3 answers 503 twice while the result of a step is stored",
              "result", "s3", "503", 2, "PUT", "results"),
    PartFault("result-cut", "the result of a step comes in half",
              "result", "s3", "cut", 1, "GET", "results/"),
    PartFault("result-short", "the result of a step comes in half, with a length that fits",
              "result", "s3", "short", 1, "GET", "results/"),
    PartFault("result-bit", "the result of a step comes with a wrong bit",
              "result", "s3", "corrupt", 1, "GET", "results/"),
    PartFault("promote-lost", "MLflow's answer to an entry in the list of champions is lost",
              "promote", "mlflow", "lost", 1, "POST", "log-parameter"),
    PartFault("promote-alias-lost", "MLflow's answer to a moved alias is lost",
              "promote", "mlflow", "lost", 1, "POST", "alias"),
)  # fmt: skip
