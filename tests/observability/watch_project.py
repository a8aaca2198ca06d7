"""A project of one model and its monitor, small enough to be trained in a test."""

from mercury import BatchTable, Entity, FeatureService, FeatureView, LightGBM, Model, Monitor, Project

schedule_table = BatchTable(
    "schedule",
    schema={"flight_id": "string", "carrier": "string", "distance": "float64", "fill": "float64", "known": "timestamp"},
    event_time="known",
)
landings = BatchTable(
    "landings",
    schema={
        "flight_id": "string",
        "sched_dep": "timestamp",
        "landed": "timestamp",
        "dep_delay": "float64",
        "arr_delay": "float64",
    },
    event_time="landed",
)
schedule = FeatureView(
    "schedule",
    Entity("flight", "flight_id"),
    schedule_table,
    {"carrier": "carrier", "distance": "distance", "fill": "fill"},
    ttl="9d",
)
risk_v1 = FeatureService("risk_v1", [schedule])
risk = Model(
    "risk",
    service=risk_v1,
    labels=landings,
    label="arr_delay > 15",
    event_time="sched_dep",
    trainer=LightGBM(params={"num_leaves": 7}, rounds=20),
)
watch = Monitor("watch", model=risk, watch={"dep_delay": "dep_delay"}, label_horizon="2d")
project = Project("watched", [schedule, risk_v1, risk, watch])
