"""How one asset hands its record to the next: as a JSON object in the bucket.

Assets exchange small records (addresses, digests, counts, summaries); the data itself is at the
addresses. A record is readable by a person and by another release, which a pickle is not.
"""

from typing import Any

import dagster as dg

from genaiops_dagster.google_cloud.resources import ObjectStoreResource
from genaiops_dagster.records.layout import Layout
from genaiops_dagster.records.record import Record, read_object, to_json


class RecordIOManager(dg.ConfigurableIOManager):
    """Stores an asset's record at `<use case>/assets/<asset>[/<partition>].json`."""

    object_store: dg.ResourceDependency[ObjectStoreResource]

    def _name(self, context: dg.InputContext | dg.OutputContext) -> str:
        use_case, *rest = context.asset_key.path
        if context.has_asset_partitions:
            rest.append(context.asset_partition_key)
        return Layout(use_case).record(*rest)

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Write the record, and name its address among the asset's metadata.

        Raises:
            TypeError: the asset returned something that is not a record.
        """
        if not isinstance(obj, Record):
            raise TypeError(
                f"{context.asset_key.to_user_string()} returned {type(obj).__name__}; "
                "an asset returns a `Record`, and writes data to Cloud Storage or BigQuery"
            )
        store = self.object_store.get_store()
        name = self._name(context)
        store.write(name, to_json(obj, indent=2))
        context.add_output_metadata({"record": store.uri(name)})

    def load_input(self, context: dg.InputContext) -> Any:
        """Read the record that the annotation of the downstream parameter names.

        Raises:
            FileNotFoundError: the upstream asset was never materialized.
        """
        record_type = context.dagster_type.typing_type
        if not (isinstance(record_type, type) and issubclass(record_type, Record)):
            raise TypeError(f"annotate the parameter for {context.asset_key} with its record type")
        return read_object(self.object_store.get_store(), self._name(context), record_type)
