"""The flights project: one year of departures and arrivals from New York, and who will be late.

Everything Mercury runs in the story is defined here: the stream and its windows, the batch job and its table, feature
views from both, the model. `mercury plan` shows what a change of this file would do.
"""

from mercury import (
    BatchTable,
    Bounds,
    Budget,
    Count,
    CountDistinct,
    Entity,
    FeatureService,
    FeatureView,
    Job,
    Kafka,
    LightGBM,
    Max,
    Mean,
    Model,
    Monitor,
    PrivacyPolicy,
    Project,
    Quantile,
    Ratio,
    Rollup,
    SemanticModel,
    Stream,
    Sum,
    Window,
)

flights = Stream(
    "flights",
    source=Kafka(topic="flights"),
    schema={
        "event_id": "string",
        "kind": "string",
        "ts": "timestamp",
        "flight_id": "string",
        "carrier": "string",
        "origin": "string",
        "dest": "string",
        "tailnum": "string",
        "flight": "int64",
        "distance": "float64",
        "sched_dep": "timestamp",
        "dep_delay": "float64",
        "arr_delay": "float64",
        "air_time": "float64",
    },
    event_time="ts",
    key="event_id",
    lateness="2h",
    # A replayed year passes in a minute and pauses while the story trains: a quiet minute is no idle partition.
    idle_timeout="15m",
    heartbeat="kind = 'heartbeat'",
    contract="contracts/flights.odcs.yaml",
)

DEPARTED = "kind = 'departure'"
ARRIVED = "kind = 'arrival'"

carrier_hourly = Window(
    "carrier_hourly",
    flights,
    keys="carrier",
    size="1h",
    aggregates={
        "departures": Count(where=DEPARTED),
        "arrivals": Count(where=ARRIVED),
        "cancellations": Count(where="kind = 'cancellation'"),
        "dep_delay_mean": Mean("dep_delay", where=DEPARTED),
        "dep_delay_max": Max("dep_delay", where=DEPARTED),
        "arr_delay_p90": Quantile("arr_delay", 0.9, where=ARRIVED),
    },
)

origin_hourly = Window(
    "origin_hourly",
    flights,
    keys="origin",
    size="1h",
    aggregates={
        "departures": Count(where=DEPARTED),
        "late_share": Mean("dep_delay > 15", where=DEPARTED),
        "miles": Sum("distance", where=DEPARTED),
    },
)

flight_features = BatchTable(
    "flight_features",
    schema={
        "flight_id": "string",
        "origin": "string",
        "dest": "string",
        "carrier": "string",
        "tailnum": "string",
        "sched_dep": "timestamp",
        "known_at": "timestamp",
        "distance": "float64",
        "sched_hour": "int32",
        "dow": "int32",
        "month": "int32",
        "plane_age": "float64",
        "seats": "float64",
        "temp": "float64",
        "wind_speed": "float64",
        "precip": "float64",
        "visib": "float64",
    },
    event_time="known_at",
    job="flight_features",
)

flight_features_job = Job(
    "flight_features",
    script="jobs/flight_features.py",
    inputs=["raw_flights", "raw_planes", "raw_weather"],
    output="flight_features",
    engine="spark",
)

Flight = Entity("flight", keys="flight_id")
Carrier = Entity("carrier", keys="carrier")
Origin = Entity("origin", keys="origin")

schedule = FeatureView(
    "schedule",
    entity=Flight,
    source=flight_features,
    ttl="2d",
    features={
        "carrier_code": "carrier",
        "origin_code": "origin",
        "dest_code": "dest",
        "distance_miles": "distance",
        "sched_hour": "sched_hour",
        "day_of_week": "dow",
        "plane_age": "plane_age",
        "seats": "seats",
        "temp": "temp",
        "wind_speed": "wind_speed",
        "precip": "precip",
        "visib": "visib",
    },
)

carrier_delay = FeatureView(
    "carrier_delay",
    entity=Carrier,
    source=flights,
    ttl="7d",
    features={
        "carrier_departures_1d": Count(where=DEPARTED, over="1d"),
        "carrier_late_share_1d": Mean("dep_delay > 15", where=DEPARTED, over="1d"),
        "carrier_arr_delay_7d": Mean("arr_delay", where=ARRIVED, over="7d"),
    },
)

origin_delay = FeatureView(
    "origin_delay",
    entity=Origin,
    source=flights,
    ttl="1d",
    features={
        "origin_departures_3h": Count(where=DEPARTED, over="3h"),
        "origin_dep_delay_3h": Mean("dep_delay", where=DEPARTED, over="3h"),
        "origin_cancelled_1d": Count(where="kind = 'cancellation'", over="1d"),
    },
    hop="1h",
)

delay_risk_v1 = FeatureService("delay_risk_v1", [schedule, carrier_delay, origin_delay])

delay_risk = Model(
    "delay_risk",
    service=delay_risk_v1,
    labels=flights,
    where="kind = 'arrival' AND arr_delay IS NOT NULL",
    label="arr_delay > 15",
    event_time="sched_dep",
    trainer=LightGBM(params={"num_leaves": 31, "learning_rate": 0.1, "min_data_in_leaf": 100}, rounds=150),
)

delay_watch = Monitor(
    "delay_watch",
    model=delay_risk,
    timezone="America/New_York",
    watch={"dep_delay": "dep_delay"},
    watch_where=DEPARTED,
    label_horizon="2d",
)

traffic = SemanticModel(
    "traffic",
    source=flights,
    timezone="America/New_York",
    where=DEPARTED,
    dimensions={"carrier": "carrier", "origin": "origin", "plane": "tailnum"},
    metrics={
        "flights": Count(),
        "late": Count(where="dep_delay > 15"),
        "late_rate": Ratio("late", "flights"),
        "mean_delay": Mean("dep_delay"),
        "miles": Sum("distance"),
        "p90_delay": Quantile("dep_delay", 0.9, accuracy=0.01),
        "aircraft": CountDistinct("tailnum", exact=True),
        "per_aircraft": Ratio("flights", "aircraft"),
    },
    rollups={
        "daily": Rollup(
            "day", by=["carrier", "origin"], metrics=["flights", "late_rate", "mean_delay", "miles", "p90_delay"]
        ),
        "fleet": Rollup("day", by=["carrier", "origin"], metrics=["flights"], keys=["plane"]),
    },
)

aircraft = PrivacyPolicy(
    "aircraft",
    source=flights,
    unit="tailnum",
    budget=Budget(epsilon=2.5, delta=1e-6),
    epsilon=1.0,
    max_groups=3,
    # Few aircraft leave one airport more often in a year; what is beyond does not count.
    max_rows=300,
    bounds={"dep_delay": Bounds(-20, 180)},
    public_keys={"origin": ["EWR", "JFK", "LGA"]},
)

fleet = SemanticModel(
    "fleet",
    source=flights,
    where=f"{DEPARTED} AND tailnum IS NOT NULL",
    dimensions={"carrier": "carrier", "origin": "origin"},
    metrics={"departures": Count(), "airframes": CountDistinct("tailnum", exact=True)},
    privacy=aircraft,
)

project = Project(
    "flights",
    [
        flights,
        carrier_hourly,
        origin_hourly,
        flight_features_job,
        schedule,
        carrier_delay,
        origin_delay,
        delay_risk,
        delay_watch,
        traffic,
        aircraft,
        fleet,
    ],
)
