"""A project of one model over two views with different keys, small enough to be trained in a test."""

from mercury import BatchTable, Entity, FeatureService, FeatureView, LightGBM, Model, Project

schedule_table = BatchTable(
    "schedule",
    schema={
        "flight_id": "string",
        "airline": "int64",
        "carrier": "string",
        "origin": "string",
        "distance": "float64",
        "hour": "int64",
        "sched_dep": "timestamp",
        "known": "timestamp",
        "arr_delay": "float64",
    },
    event_time="known",
)
airlines_table = BatchTable(
    "airlines", schema={"airline": "int64", "flights": "float64", "since": "timestamp"}, event_time="since"
)

schedule = FeatureView(
    "schedule",
    Entity("flight", "flight_id"),
    schedule_table,
    {"carrier_code": "carrier", "origin_code": "origin", "distance_miles": "distance", "sched_hour": "hour"},
    ttl="9d",
)
airline_size = FeatureView("airline_size", Entity("airline", "airline"), airlines_table, {"airline_flights": "flights"})

risk_v1 = FeatureService("risk_v1", [schedule, airline_size])

risk = Model(
    "risk",
    service=risk_v1,
    labels=schedule_table,
    where="arr_delay IS NOT NULL",
    label="arr_delay > 15",
    event_time="sched_dep",
    trainer=LightGBM(params={"num_leaves": 15, "learning_rate": 0.2}, rounds=12),
)

project = Project("risks", [schedule, airline_size, risk_v1, risk])
