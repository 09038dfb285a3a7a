"""Everything that decides a tuned model, and the fingerprint by which it is made only once."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from genaiops_dagster.records.data import DatasetSplit
from genaiops_dagster.records.fingerprint import fingerprint
from genaiops_dagster.records.promotion import served_champion
from genaiops_dagster.records.record import Record
from genaiops_dagster.use_case import UseCase
from genaiops_dagster.use_case.section import CHAMPION
from genaiops_dagster.use_case.tuning import Tuning

if TYPE_CHECKING:
    from genaiops_dagster.google_cloud.object_store import ObjectStore

_RECIPE_VERSION = 1
"""Raised when the same recipe would be sent to the service in another way."""

_CHUNK_BYTES = 1 << 20


class TuningRecipe(Record):
    """Everything that decides a tuning job; None leaves a choice to the service.

    Attributes:
        use_case: Name of the use case, which owns the model.
        method: `supervised`, `preference` or `distillation`.
        base_model: Name of the model to tune, also of one that is tuned further.
        continue_from: Model of the registry, with its version, that is tuned further.
        training_uri, validation_uri: `gs://` addresses of the data sets; the addresses do not
            count towards the fingerprint, the digests do.
        training_digest, validation_digest: Digests of their content; validation may be missing.
        prompt_digest: Digest of the prompt in the training set.
        epochs, learning_rate_multiplier, adapter_size: Hyperparameters.
        beta: How close preference tuning keeps to its base.
        teacher_model: What distillation learns from.
    """

    use_case: str
    method: str = "supervised"
    base_model: str
    continue_from: str | None = None
    training_uri: str
    training_digest: str
    validation_uri: str | None
    validation_digest: str | None
    prompt_digest: str
    epochs: int | None
    learning_rate_multiplier: float | None
    adapter_size: int | None
    beta: float | None = None
    teacher_model: str | None = None

    @property
    def fingerprint(self) -> str:
        """Hex sha256 over what decides the model."""
        return fingerprint(
            _RECIPE_VERSION,
            self.model_dump(exclude={"training_uri", "validation_uri"}),
        )


def tuning_recipe(
    use_case: UseCase,
    store: ObjectStore,
    training_set: DatasetSplit,
    validation_set: DatasetSplit,
    variant: str | None = None,
) -> TuningRecipe:
    """The recipe of a use case over its data, or of one `variant` of its sweep.

    An empty validation set is left out, and so is one of another form than the training data.
    """
    tuning = use_case.tuning.variant(variant)
    uri, digest = training_data(tuning, store, training_set)
    has_validation = validation_set.rows > 0 and tuning.data is None
    return TuningRecipe(
        use_case=use_case.name,
        method=tuning.method,
        base_model=tuning.base_model,
        continue_from=_pre_tuned(tuning.continue_from, use_case.name, store),
        training_uri=uri,
        training_digest=digest,
        validation_uri=validation_set.uri if has_validation else None,
        validation_digest=validation_set.digest if has_validation else None,
        prompt_digest=training_set.prompt_digest,
        epochs=tuning.epochs,
        learning_rate_multiplier=tuning.learning_rate_multiplier,
        adapter_size=tuning.adapter_size,
        beta=tuning.beta,
        teacher_model=tuning.teacher_model,
    )


def training_data(
    tuning: Tuning, store: ObjectStore, training_set: DatasetSplit
) -> tuple[str, str]:
    """Address and digest of what is trained on: the training set, or the file of the use case.

    Raises:
        ValueError: the use case names a file in another bucket.
    """
    uri = tuning.data
    if uri is None:
        return training_set.uri, training_set.digest
    digest = hashlib.sha256()
    with store.open(store.name_of(uri)) as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return uri, digest.hexdigest()


def _pre_tuned(continue_from: str | None, use_case: str, store: ObjectStore) -> str | None:
    """The model to tune further; None where there is no tuned champion yet."""
    if continue_from != CHAMPION:
        return continue_from
    champion = served_champion(store, use_case)
    return champion.registered_model if champion else None
