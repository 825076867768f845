"""MLflow's tags and the artifacts that are read again: every name that synaug writes. They are stored, so they never
change."""

__all__ = ["ArtifactPath", "Tag"]


class ArtifactPath:
    """Where artifacts lie within their run, or classifiers within their MLflow model."""

    CLASSIFIER = "classifier"
    COMPARISON = "comparison.json"
    COMPARISON_PAGE = "comparison.html"
    COMPARISON_TEXT = "comparison.txt"
    CONFIG = "config.json"
    DETAILS = "metrics.csv"
    GENERATOR = "generator"
    IMAGES = "images"
    JUDGES = "judges"
    PREDICTIONS = "predictions"
    SYNTHETIC_IMAGES = f"{IMAGES}/synthetic.parquet"
    TEST_PREDICTIONS = f"{PREDICTIONS}/test.parquet"
    VALIDATION_PREDICTIONS = f"{PREDICTIONS}/val.parquet"


class Tag:
    """Names of tags of runs, models and versions."""

    ARM = "synaug.arm"
    ASKED_AT = "synaug.asked_at"  # when a finished retraining was last asked for again, and found done
    BEST_ARM = "synaug.best_arm"
    CHANGED_PARAMS = "synaug.changed_params"  # parameters that were recorded again with other values
    CLASSES = "synaug.classes"
    CODE_VERSION = "synaug.code_version"
    COMPARED_WITH = "synaug.compared_with"  # of a version: the champion that the gate compared it with
    COMPARE_PAGE = (
        "synaug.compare_page"  # of a retraining: the page with its chosen arms side by side, behind MLflow's address
    )
    CONFIG_DIGEST = "synaug.config_digest"
    DATASET = "synaug.dataset"
    DATASET_DIGEST = "synaug.dataset_digest"
    DECISION = "synaug.decision"  # why a version was promoted, or not
    ERROR = "synaug.error"  # the first line of what ended a run
    CLEANED = "synaug.gc"  # when a clean-up freed a run's artifacts
    KEY = "synaug.key"  # unique among the runs of one parent, and among the versions of a model
    IMAGES_FOLDER = "synaug.images_folder"  # of a version: where its draw's own images lie in the run `dataset`
    MODEL = "synaug.model"
    NOTES = "synaug.notes"
    OUTCOME = "synaug.outcome"
    PROCESS = "synaug.process"  # who writes a run
    PROMOTED_AT = "synaug.promoted_at"
    PROMOTED_BY = "synaug.promoted_by"
    PROMOTED_WHY = "synaug.promoted_why"
    PROMOTION_LOG = "synaug.promotion_log"  # of a registered model: the MLflow run with the list of its champions
    REASON = "synaug.reason"
    RETRAINING = "synaug.retraining"  # of a version: the retraining that it came from
    REUSED = "synaug.reused_from"  # the run that this one stands in for
    ROLLED_BACK_AT = "synaug.rolled_back_at"
    SEED = "synaug.seed"
    SHA256 = "synaug.sha256"  # digest of a model's classifier
    STAGE = "synaug.stage"  # what a run did: retrain, dataset, arm, repetition, ...
    TEST_IMAGES = "synaug.test_images"  # of a version: digest of the test images that the gate looked at
    TURING = "synaug.turing"
    VERDICT = "synaug.verdict"
    VERSION = "synaug.version"
    WORSE = "synaug.worse"  # of a version: 1 where it was worse than the champion that it was compared with
    EXPERIMENT_KIND = "mlflow.experimentKind"  # of an experiment: which of MLflow's views opens
    NOTE = "mlflow.note.content"
    PARENT = "mlflow.parentRunId"
    GIT_COMMIT = "mlflow.source.git.commit"
    SOURCE_NAME = "mlflow.source.name"
    SOURCE_TYPE = "mlflow.source.type"
    USER = "mlflow.user"
    FLOW_RUN = "prefect.flow_run_id"  # the flow run that writes a run, or did last
