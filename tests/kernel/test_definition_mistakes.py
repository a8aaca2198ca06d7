"""Mistakes in definitions: each is one line with the value, the definition and field, and what to write instead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from mercury import definitions as d
from mercury.definitions.streams import RESERVED_COLUMNS, WINDOW_COLUMNS
from mercury.errors import DefinitionError
from tests.kernel.test_definitions import CARRIER, FLIGHTS, HOURLY, JOB, MODEL, SERVICE, TABLE, VIEW, stream

N = {"n": d.Count()}
CODES = d.BatchTable("codes", schema={"carrier": "string", "at": "timestamp", "x": "float64"}, event_time="at")


def codes(*features: str, entity: d.Entity = CARRIER, name: str = "v") -> d.FeatureView:
    return d.FeatureView(name, entity=entity, source=CODES, features=dict.fromkeys(features, "x"))


def over_stream(**options: object) -> d.FeatureView:
    return replace(VIEW, **options)


def train(params: object) -> d.LightGBM:
    return d.LightGBM(params=params)


MISTAKES: list[tuple[Callable[[], object], str]] = [
    # Names
    (
        lambda: d.Entity("a b", keys="x"),
        "'a b' is not a name (name of an Entity). Use letters, digits and _, and begin",
    ),
    (lambda: d.Entity(5, keys="x"), "5 is not a name (name of an Entity)"),
    # Types of arguments
    (lambda: d.Entity("a", keys=5), "keys=5 is not a list (Entity/a.keys). Put it in [ ]"),
    (lambda: d.Entity("a", keys={"x", "y"}), "has no order (Entity/a.keys). Write a list"),
    (lambda: d.Entity("a", keys=["x", 5]), "keys[1]=5 is not text (Entity/a.keys)"),
    (lambda: d.Entity("a", keys=b"x"), "keys=b'x' is not a list (Entity/a.keys)"),
    (lambda: d.Entity("a", keys="\ud800"), "is not Unicode text (Entity/a.keys). Remove the lone surrogate"),
    (lambda: stream(schema=["id"]), "schema=['id'] is not a mapping (Stream/flights.schema). Write {'name': …}"),
    (lambda: stream(schema={5: "string"}), "schema[5]=5 is not text (Stream/flights.schema). Names are text"),
    (lambda: stream(schema={"": "string"}), "schema['']='' is no name (Stream/flights.schema)"),
    (lambda: stream(schema={"ts": None}), "schema['ts']=None is not text (Stream/flights.schema)"),
    (
        lambda: stream(source="flights"),
        "source='flights' is not a Kafka (Stream/flights.source). Give the definition its",
    ),
    (lambda: stream(source=d.Kafka), "(Stream/flights.source). Write Kafka(…)"),
    (lambda: stream(lateness=7200), "lateness=7200 is not a duration of at most 10000 years (Stream/flights.lateness)"),
    (lambda: replace(HOURLY, source=TABLE), "source=BatchTable/weather is not a Stream (Window/hourly.source)"),
    (
        lambda: replace(HOURLY, aggregates={"n": d.Count}),
        "is not an aggregate (Window/hourly.aggregates). Write Count(…)",
    ),
    (
        lambda: replace(HOURLY, aggregates={"n": "count"}),
        "aggregates['n']='count' is not an aggregate (Window/hourly.agg",
    ),
    (
        lambda: over_stream(entity="carrier"),
        "entity='carrier' is not an Entity (FeatureView/carrier_delay.entity). Give",
    ),
    (
        lambda: over_stream(source=HOURLY),
        "source=Window/hourly is not a BatchTable or a Stream (FeatureView/carrier_de",
    ),
    (
        lambda: over_stream(features={"x": 5}),
        "features['x']=5 is not a SQL expression or an aggregate (FeatureView/carr",
    ),
    (lambda: over_stream(features=5), "features=5 is not a mapping or a list (FeatureView/carrier_delay.features)"),
    (lambda: d.FeatureService("s", views=VIEW), "is not a list (FeatureService/s.views). Put it in [ ]"),
    (
        lambda: d.Project("p", FLIGHTS),
        "definitions=Stream/flights is not a list (Project/p.definitions). Put it in [ ]",
    ),
    (
        lambda: d.Project("p", ["flights"]),
        "definitions[0]='flights' is not a named definition (Project/p.definitions). G",
    ),
    (lambda: d.Project("p", [N["n"]]), "is not a named definition (Project/p.definitions)"),
    (lambda: d.Count(5), "of=5 is not a SQL expression (Count.of)"),
    (lambda: d.Count(where=" "), "where=' ' is not a SQL expression (Count.where). Write one"),
    (
        lambda: d.Aggregate("x"),
        "Aggregate is what definitions share, not a definition (Aggregate). Use one of its kinds",
    ),
    (lambda: d.Variance("x", ddof=False), "ddof=False is not a whole number (Variance.ddof). Write 0"),
    (lambda: d.Variance("x", ddof=0.5), "ddof=0.5 is not a whole number (Variance.ddof)"),
    (lambda: d.Quantile("x", "0.9"), "q='0.9' is not a finite number (Quantile.q). Write a number, without quotes"),
    (lambda: d.Quantile("x", True), "q=True is not a finite number (Quantile.q). Write 1"),
    (lambda: d.CountDistinct("x", exact=1), "exact=1 is not True or False (CountDistinct.exact)"),
    (lambda: train({"eta": float("nan")}), "params['eta']=nan is not a finite number (LightGBM.params)"),
    (
        lambda: train({"eta": object()}),
        "is not text, a whole number, a finite number or True or False (LightGBM.params)",
    ),
    (lambda: train({"eta": None}), "params['eta']=None is not text, a whole number"),
    (lambda: d.LightGBM(rounds=float("inf")), "rounds=inf is not a whole number"),
    # Streams
    (lambda: d.Kafka(), "Kafka() has no topic (Kafka.topic). Write Kafka(topic='flights')"),
    (lambda: d.Kafka("my topic"), "'my topic' is no topic (Kafka.topic). Kafka allows"),
    (lambda: d.Kafka("t", format="jsno"), "format='jsno' is not known (Kafka.format). Did you mean 'json'?"),
    (lambda: stream(source=None), "the stream has no source (Stream/flights.source). Write source=Kafka("),
    (lambda: stream(schema={}), "the schema has no columns (Stream/flights.schema). List columns as"),
    (
        lambda: stream(schema={"ts": "timestmap"}),
        "'ts' has the unknown type 'timestmap' (Stream/flights.schema). Did you m",
    ),
    (
        lambda: stream(schema={"ts": "timestamp", "TS": "int64"}),
        "columns 'ts' and 'TS' differ only in case (Stream/fligh",
    ),
    (
        lambda: stream(schema={"ts": "timestamp", "_offset": "int64"}),
        "'_offset' is taken by the stream's tables (Stream/",
    ),
    (
        lambda: stream(event_time="id"),
        "event_time='id' is not a timestamp column of the schema (Stream/flights.event_time). ",
    ),
    (
        lambda: stream(key="carier"),
        "key column 'carier' is not in the schema (Stream/flights.key). Did you mean 'carrier'?",
    ),
    (lambda: stream(key=["id", "id"]), "key names 'id' 2 times (Stream/flights.key). Name it once"),
    (
        lambda: stream(lateness="2"),
        "lateness='2' is not a duration of at most 10000 years (Stream/flights.lateness). Write",
    ),
    (lambda: stream(lateness="-5m"), "lateness='-5m' is not a duration"),
    (lambda: stream(dedup="20000000d"), "dedup='20000000d' is not a duration of at most 10000 years"),
    (
        lambda: stream(contract="/etc/c.yaml"),
        "contract='/etc/c.yaml' is an absolute path (Stream/flights.contract). Write",
    ),
    (
        lambda: stream(contract="C:/c.yaml"),
        "contract='C:/c.yaml' is an absolute path (Stream/flights.contract). Write it",
    ),
    (
        lambda: stream(contract="../c.yaml"),
        "contract='../c.yaml' is no file in the project's folder (Stream/flights.contra",
    ),
    (lambda: stream(contract="a/../../c.yaml"), "contract='a/../../c.yaml' is no file in the project's folder"),
    (lambda: stream(contract="a\\c.yaml"), r"contract='a\\c.yaml' is no file in the project's folder"),
    (lambda: stream(contract=""), "contract='' is no file in the project's folder"),
    (lambda: stream(contract="c.yaml", contract_sha256="ab"), "contract_sha256='ab' is not the SHA-256 of a contract"),
    (
        lambda: stream(contract_sha256="ab" * 32),
        "is not the SHA-256 of a contract (Stream/flights.contract_sha256). Leave",
    ),
    # Aggregates
    (lambda: d.Sum(), "Sum needs the expression that it is of (Sum.of). Write Sum('dep_delay')"),
    (lambda: d.Sum("x", over="0s"), "over='0s' is not a duration longer than zero (Sum.over). Write it as in '5m'"),
    (lambda: d.Variance("x", ddof=2), "ddof=2 is neither 0 nor 1 (Variance.ddof). Use 1 for a sample"),
    (lambda: d.Quantile("x", q=90), "q=90.0 is not between 0 and 1 (Quantile.q). Write the 90th percentile as 0.9"),
    (lambda: d.Quantile("x", q=-0.1), "q=-0.1 is not between 0 and 1 (Quantile.q)"),
    (lambda: d.Quantile("x", q=float("nan")), "q=nan is not a finite number (Quantile.q)"),
    (lambda: d.Quantile("x", accuracy=0), "accuracy=0.0 is out of range (Quantile.accuracy)"),
    (lambda: d.Histogram("x"), "the histogram has no edges (Histogram.edges). Write edges=[0, 15, 60]"),
    (lambda: d.Histogram("x", edges=5), "edges=5 is not a list (Histogram.edges). Put it in [ ]"),
    (
        lambda: d.Histogram("x", edges=[0, 2, 1]),
        "edges[2]=1.0 is not above 2.0 (Histogram.edges). Give edges in rising",
    ),
    (lambda: d.Histogram("x", edges=[1, 1]), "edges[1]=1.0 is not above 1.0 (Histogram.edges)"),
    (lambda: d.Histogram("x", edges=np.array([0, np.nan])), "edges[1]=nan is not a finite number (Histogram.edges)"),
    (lambda: d.Histogram("x", edges=[0, float("inf")]), "edges[1]=inf is not a finite number (Histogram.edges)"),
    (lambda: d.TopK("x", k=0), "k=0 is out of range (TopK.k). Use 1 to 10000"),
    (lambda: d.CountDistinct("x", precision=30), "precision=30 is out of range (CountDistinct.precision)"),
    # Windows
    (lambda: d.Window("w", aggregates=N), "the window has no source (Window/w.source). Write source=flights, a Stream"),
    (lambda: d.Window("w", source=FLIGHTS), "the window keeps nothing (Window/w.aggregates). Give aggregates="),
    (
        lambda: replace(HOURLY, size="0s"),
        "size='0s' is not a duration longer than zero (Window/hourly.size). Write it as",
    ),
    (lambda: replace(HOURLY, size="-1h"), "size='-1h' is not a duration longer than zero (Window/hourly.size)"),
    (lambda: replace(HOURLY, slide="0m"), "slide='0m' is not a duration longer than zero (Window/hourly.slide)"),
    (
        lambda: replace(HOURLY, size="1m", slide="2m"),
        "slide=2m is longer than size=1m, so events between windows would be",
    ),
    (
        lambda: replace(HOURLY, size="1d", slide="59m59s999ms"),
        "size=1d and slide=59m59s999ms cut a window into 86400000 panes of 1ms (Window/hourly.slide). Use lengths wit",
    ),
    (
        lambda: replace(HOURLY, keys="carier"),
        "key 'carier' is not in Stream/flights (Window/hourly.keys). Did you mean 'car",
    ),
    (lambda: replace(HOURLY, keys=["id", "id"]), "keys names 'id' 2 times (Window/hourly.keys). Name it once"),
    (
        lambda: replace(HOURLY, aggregates={"carrier": d.Count()}),
        "'carrier' is already the name of another column (Window",
    ),
    (
        lambda: replace(HOURLY, aggregates={"window_end": d.Count()}),
        "'window_end' is already the name of another column",
    ),
    (
        lambda: replace(HOURLY, aggregates={"a/b": d.Count()}),
        "'a/b' cannot be the name of a column (Window/hourly.aggreg",
    ),
    (
        lambda: replace(HOURLY, aggregates={"a__n": d.Count()}),
        "'a__n' cannot be the name of a column (Window/hourly.aggr",
    ),
    (
        lambda: replace(HOURLY, aggregates={"n": d.Count(over="1d")}),
        "aggregate 'n' has over='1d' (Window/hourly.aggregat",
    ),
    # Entities, tables, views and services
    (lambda: d.Entity("a"), "the entity has no key (Entity/a.keys). Write keys='carrier'"),
    (lambda: d.Entity("a", keys=["x", "x"]), "keys names 'x' 2 times (Entity/a.keys). Name it once"),
    (
        lambda: replace(TABLE, event_time="origin"),
        "event_time='origin' is not a timestamp column of the schema (BatchTable",
    ),
    (
        lambda: replace(TABLE, created_time="known"),
        "created_time='known' is not a timestamp column of the schema (BatchTa",
    ),
    (
        lambda: d.FeatureView("v", source=CODES, features=["x"]),
        "the view needs an entity (FeatureView/v.entity). Write ent",
    ),
    (lambda: over_stream(features={}), "the view has no features (FeatureView/carrier_delay.features). Give"),
    (
        lambda: over_stream(entity=d.Entity("e", "carier")),
        "key 'carier' of Entity/e is not a column of Stream/flights (Fe",
    ),
    (
        lambda: over_stream(features={"n": d.Count()}),
        "feature 'n' has no window (FeatureView/carrier_delay.features). Wri",
    ),
    (
        lambda: over_stream(features=["dep_delay"]),
        "feature 'dep_delay' has no window (FeatureView/carrier_delay.features)",
    ),
    (lambda: over_stream(features={"carrier": d.Count(over="1d")}), "'carrier' is already the name of another column"),
    (lambda: over_stream(hop="0s"), "hop='0s' is not a duration longer than zero (FeatureView/carrier_delay.hop)"),
    (
        lambda: over_stream(features={"a": d.Count(over="30m"), "b": d.Count(over="7d")}),
        "feature 'a' looks back over='30m', which is less than the hop of 1h (FeatureView/carrier_delay.features). Gi",
    ),
    (lambda: replace(codes("a"), hop="1h"), "hop='1h' has no meaning for a table (FeatureView/v.hop). Leave it out"),
    (
        lambda: replace(codes("a"), features={"n": d.Count(over="1d")}),
        "feature 'n' aggregates a table (FeatureView/v.featur",
    ),
    (
        lambda: replace(codes("a"), features=["x", "x"]),
        "features names 'x' 2 times (FeatureView/v.features). Name it once",
    ),
    (
        lambda: replace(codes("a"), features=["dep delay"]),
        "'dep delay' cannot be the name of a column (FeatureView/v.feat",
    ),
    (lambda: d.FeatureService("s"), "the service has no views (FeatureService/s.views)"),
    (
        lambda: d.FeatureService("s", [VIEW, VIEW]),
        "views names 'carrier_delay' 2 times (FeatureService/s.views). Name it",
    ),
    (
        lambda: d.FeatureService("s", [codes("a"), codes("b", "a", name="w")]),
        "two views have a feature named 'a': FeatureView/v and FeatureView/w (FeatureService/s.views). Rename one of",
    ),
    (
        lambda: d.FeatureService("s", [codes("a"), codes("carrier", entity=d.Entity("x", "x"), name="w")]),
        "feature 'carrier' of FeatureView/w has the name of a key of FeatureView/v (FeatureService/s.views). Rename t",
    ),
    # Models and jobs
    (
        lambda: d.Model("m", service=SERVICE, labels=FLIGHTS, event_time="ts"),
        "label is missing (Model/m.label). Give lab",
    ),
    (
        lambda: replace(MODEL, event_time="id"),
        "event_time='id' is not a timestamp column of Stream/flights (Model/delay.ev",
    ),
    (
        lambda: replace(MODEL, labels=TABLE, event_time="at"),
        "BatchTable/weather has no column 'carrier', by which FeatureView/carrier_delay is joined (Model/delay.labels)",
    ),
    (
        lambda: replace(MODEL, service=d.FeatureService("s", [codes("a", "label")])),
        "feature 'label' of FeatureView/v has the name of another column of the training set (Model/delay.service). R",
    ),
    (
        lambda: replace(MODEL, trainer="lightgbm"),
        "trainer='lightgbm' is not a LightGBM (Model/delay.trainer). Give the def",
    ),
    (lambda: d.LightGBM(rounds=0), "rounds=0 trains nothing (LightGBM.rounds). Use 1 or more"),
    (lambda: replace(JOB, script=""), "a job needs a script and an output table (Job/weather.script). Give script="),
    (lambda: replace(JOB, engine="sparc"), "engine='sparc' is not known (Job/weather.engine). Did you mean 'spark'?"),
    (lambda: replace(JOB, inputs=["raw", "raw"]), "inputs names 'raw' 2 times (Job/weather.inputs). Name it once"),
    # Projects
    (
        lambda: d.Project("p", [HOURLY, replace(HOURLY, size="2h")]),
        "Window/hourly is defined twice, differently: size is '1h' and '2h' (Project/p.definitions). Give one of them",
    ),
    (
        lambda: d.Project("p", [VIEW, replace(HOURLY, name="carrier_delay")]),
        "Window/carrier_delay and FeatureView/carrier_delay are both kept of Stream/flights (Project/p.definitions).",
    ),
    (
        lambda: d.Project("p", [TABLE]),
        "job='weather' is no Job of Project/p (BatchTable/weather.job). Define it with Job(",
    ),
    (
        lambda: d.Project("p", [replace(TABLE, job="weathr"), JOB]),
        "job='weathr' is no Job of Project/p (BatchTable/weather.job). Did you mean 'weather'?",
    ),
    (
        lambda: d.Project("p", [TABLE, replace(JOB, output="other")]),
        "job='weather' writes the table 'other', not 'weather' (BatchTable/weather.job). Give the job's output the na",
    ),
    (
        lambda: d.Project("p", [d.Project("q")]),
        "Project/q is inside a project (Project/p.definitions). List its definitions",
    ),
]


@pytest.mark.parametrize(("make", "message"), MISTAKES, ids=[message[:40] for _, message in MISTAKES])
def test_mistake_in_a_definition_is_one_clear_error(make: Callable[[], object], message: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        make()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.where


def test_names_that_windows_and_streams_take_are_those_of_the_engine() -> None:
    from mercury.streaming import windows, worker
    from mercury.summaries import SCALARS

    assert {worker.PARTITION, worker.OFFSET, worker.LATE_BY} == set(RESERVED_COLUMNS)
    assert {windows.PANE, windows.WINDOW_START, windows.WINDOW_END, SCALARS} == set(WINDOW_COLUMNS)


@pytest.mark.parametrize(
    "make",
    [
        lambda: stream(lateness="0s", idle_timeout="0s", dedup="0s"),
        lambda: stream(contract="..data/flights.yaml"),
        lambda: stream(key=()),
        lambda: stream(schema={"ts": "timestamp", "dep delay": "float64", "été": "string"}, key=()),
        lambda: d.Histogram("x", edges=[5]),
        lambda: replace(HOURLY, size="1h", slide="25m"),
        lambda: replace(HOURLY, keys=()),
        lambda: over_stream(features={"n": d.Count(over="90m")}, hop="1h"),
        lambda: over_stream(ttl="0s", embargo="0s"),
        lambda: d.FeatureView("v", entity=CARRIER, source=CODES, features="x"),
    ],
)
def test_what_looks_odd_but_means_something_is_accepted(make: Callable[[], d.Definition]) -> None:
    assert len(make().version) == 16
