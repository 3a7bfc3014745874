"""Spark: its executors write into Postgres, each over a connection of its own and without JDBC.

A DataFrame is loaded by the same plan as any frame: `write_df` lets every task encode its partition and COPY it, and
the driver runs the load over what the tasks have brought. The executors need this package, pyarrow, and a way to the
server. `read_df` lets every task read a part of a query.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from .declare.connections import ConnectionLike
from .declare.frames import HeldFrame
from .ground.errors import SpecError
from .ground.mistakes import told_at_the_line
from .ground.names import a
from .run.connections import Connection, Params, connect
from .run.partitions import Place, Stage, load

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .declare.options import Mode, PipelineOptions
    from .show.reports import RunReport

__all__ = ["read_df", "write_df"]


@told_at_the_line
def read_df(
    spark: Any,
    connection: ConnectionLike,
    query: str,
    *,
    partition_on: str | None = None,
    partitions: int | None = None,
    params: Params = None,
) -> Any:
    """The rows of a query, or of a table by its name, as a DataFrame of Spark: each task reads a part of them over a
    connection of its own.

    Columns and parts are looked up now, and rows are read whenever Spark computes the DataFrame, each part at a time of
    its own: what is written meanwhile may be in one part and not in another.

    Args:
        spark: the session.
        connection: where to read. One that has a name travels as its name, and executors look up where it leads; one of
            a DSN travels as the DSN, with its password.
        query: one SELECT, or "schema.table".
        partition_on: a column of whole numbers, numerics, dates or timestamps, best an indexed one: its values between the
            least and the greatest are cut into parts of equal length. Without it one task reads all.
        partitions: how many parts; unless said, as many tasks as Spark runs at once.
        params: the values of `:name` or `$1`.

    Raises:
        SpecError: `import_failed` where there is no pyspark; `invalid_value` for a column that Spark has no type for.
        SourceError, ConnectError: as it failed.
    """
    pyarrow = _needed("read_df")
    from ._core import read_parts

    conn = connection if isinstance(connection, Connection) else connect(str(connection))
    conn.check("read_df")
    if partition_on is None and partitions is not None:
        raise SpecError(
            "read_df: partitions without partition_on",
            code="missing_option",
            hint="say by which column the rows are cut: partition_on=…",
        )
    count = 1 if partition_on is None else _parts(spark, partitions)
    place = Place.of(conn)
    frame, queries = read_parts(*place.leads_to(), query, params, partition_on, count)
    schema = _spark_schema(_plain(pyarrow.table(frame).schema))

    def read(batches: Iterator[Any]) -> Iterator[Any]:
        for batch in batches:
            for number in batch.column(0).to_pylist():
                yield from _read(place, queries[number])

    # A row with its number for each part, and each in a partition of its own.
    return spark.range(0, len(queries), 1, len(queries)).mapInArrow(read, schema)


def _read(place: Place, query: str) -> Iterator[Any]:
    """The batches of one part, in a task of Spark."""
    pyarrow = import_module("pyarrow")
    with place.connect().read_batches(query, plain=True) as batches:
        for batch in batches:
            rows = pyarrow.Table.from_batches([pyarrow.record_batch(batch)])
            yield from rows.cast(_plain(rows.schema)).to_batches()


def _plain(columns: Any) -> Any:
    """A schema of what Spark takes: no dictionaries, so values of an enum are text, and times in nanoseconds."""
    pyarrow = import_module("pyarrow")

    def of(data_type: Any) -> Any:
        if pyarrow.types.is_dictionary(data_type):
            return data_type.value_type
        if pyarrow.types.is_time64(data_type):
            return pyarrow.time64("ns")
        return pyarrow.list_(of(data_type.value_type)) if pyarrow.types.is_list(data_type) else data_type

    return pyarrow.schema([pyarrow.field(column.name, of(column.type)) for column in columns])


def _parts(spark: Any, given: int | None) -> int:
    """How many parts there are to be."""
    from pyspark.errors import PySparkException

    if given is not None:
        if isinstance(given, bool) or not isinstance(given, int) or given < 1:
            raise SpecError(f"read_df: partitions is {given!r}", code="invalid_value", hint="write partitions=8")
        return given
    try:
        return max(1, int(spark.sparkContext.defaultParallelism))
    except PySparkException:
        raise SpecError(
            "read_df: this session of Spark does not say how many tasks it runs at once",
            code="missing_option",
            hint="say how many parts there are to be: partitions=8",
        ) from None


def _spark_schema(columns: Any) -> Any:
    """The columns as Spark has them."""
    from pyspark.errors import PySparkException
    from pyspark.sql.pandas.types import from_arrow_type
    from pyspark.sql.types import StructField, StructType

    fields = []
    for column in columns:
        try:
            data_type = from_arrow_type(column.type, prefer_timestamp_ntz=True)
        except PySparkException:
            raise SpecError(
                f"read_df: the column `{column.name}` comes as {column.type}, for which Spark has no type",
                code="invalid_value",
                hint=f"cast it in the query: {column.name}::text AS {column.name}",
            ) from None
        fields.append(StructField(column.name, data_type))
    return StructType(fields)


@told_at_the_line
def write_df(
    spark_df: Any,
    connection: ConnectionLike,
    table: str,
    mode: Mode = "append",
    *,
    target: type[Any] | None = None,
    if_exists: Literal["use", "error"] = "use",
    dry_run: bool = False,
    **options: Unpack[PipelineOptions],
) -> RunReport:
    """Loads a DataFrame of Spark into a table by a load strategy, as `conn.write_df` loads a frame.

    The DataFrame is computed once, by one job: each task brings its partition into a table of the target's database,
    under a number of its attempt. The driver then runs one load over the rows of one attempt of each partition, so they
    count once, also where Spark repeats a task or runs it twice.

    Args:
        spark_df: a DataFrame without structs and maps.
        connection: where the target is. One that has a name travels as its name, and executors look up where it leads;
            one of a DSN travels as the DSN, with its password.
        table: "schema.table"; a table that does not exist is made, of the types that the DataFrame has.
        mode: append, truncate, merge, scd1 or scd2.
        target: as for `conn.write_df`, and so are the next ones.
        if_exists: "error" refuses a table that exists.
        dry_run: compute the DataFrame, and load nothing.
        options: as in pipelines.toml.

    Raises:
        SpecError, DriftError, DataError, TargetError, ConnectError, LockedError: as it failed; nothing is loaded then.
        Exception: Spark's own, where a task failed as often as Spark lets it.
    """
    columns = HeldFrame(_empty(spark_df, "write_df"), "a DataFrame of Spark")

    def fill(stage: Stage) -> Iterable[Any]:
        def take(batches: Iterator[Any]) -> Iterator[Any]:
            from pyspark import TaskContext

            task = TaskContext.get()
            assert task is not None, "Spark calls it in a task"
            yield _answer(stage.write(iter(batches), task.partitionId()))

        return [pickle.loads(row["answer"]) for row in spark_df.mapInArrow(take, "answer binary").collect()]

    return load("write_df", connection, columns, fill, None, table, mode, target, if_exists, dry_run, options)


def _answer(receipt: object) -> Any:
    """What a task gives: one row with its receipt."""
    pyarrow = import_module("pyarrow")
    return pyarrow.RecordBatch.from_pydict({"answer": pyarrow.array([pickle.dumps(receipt)], pyarrow.binary())})


def _empty(spark_df: Any, where: str) -> Any:
    """The columns of a DataFrame, as a table of pyarrow without rows."""
    pyarrow = _needed(where)
    from pyspark.sql import DataFrame

    if not isinstance(spark_df, DataFrame):
        raise SpecError(
            f"{where}: {a(type(spark_df))} is no DataFrame of Spark",
            code="invalid_value",
            hint="conn.write_df takes other frames, and write_partitions what lies on many machines",
        )
    fields = []
    for field in spark_df.schema.fields:
        data_type = _arrow_type(field.dataType)
        if data_type is None:
            raise SpecError(
                f"{where}: the column `{field.name}` is of the type {field.dataType.simpleString()}, which no type of "
                "Postgres holds",
                code="invalid_value",
                hint=f"leave it out, or make it text before: to_json({field.name})",
            )
        fields.append(pyarrow.field(field.name, data_type))
    return pyarrow.schema(fields).empty_table()


def _needed(where: str) -> Any:
    """The library pyarrow, where Spark is there, too."""
    try:
        pyarrow = import_module("pyarrow")
        import_module("pyspark.sql")
    except ImportError as error:
        raise SpecError(
            f"{where}: there is no {error.name}", code="import_failed", hint='pip install "ematix-flow[spark]"'
        ) from None
    return pyarrow


def _arrow_type(data_type: Any) -> Any:
    """The type of Arrow as which Spark sends values of one of its own; None for what Postgres does not hold."""
    pyarrow = import_module("pyarrow")
    name = type(data_type).__name__
    if name == "ArrayType":
        element = _arrow_type(data_type.elementType)
        return None if element is None else pyarrow.list_(element)
    if name == "DecimalType":
        return pyarrow.decimal128(data_type.precision, data_type.scale)
    known = {
        "BinaryType": pyarrow.binary(),
        "BooleanType": pyarrow.bool_(),
        "ByteType": pyarrow.int8(),
        "CharType": pyarrow.string(),
        "DateType": pyarrow.date32(),
        "DayTimeIntervalType": pyarrow.duration("us"),
        "DoubleType": pyarrow.float64(),
        "FloatType": pyarrow.float32(),
        "IntegerType": pyarrow.int32(),
        "LongType": pyarrow.int64(),
        "NullType": pyarrow.null(),
        "ShortType": pyarrow.int16(),
        "StringType": pyarrow.string(),
        "TimeType": pyarrow.time64("ns"),
        "TimestampNTZType": pyarrow.timestamp("us"),
        "TimestampType": pyarrow.timestamp("us", "UTC"),
        "VarcharType": pyarrow.string(),
    }
    return known.get(name)
