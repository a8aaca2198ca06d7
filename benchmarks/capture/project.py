"""The model that is served: 20 numbers of an account, and one monitor, so that answers are captured."""

from __future__ import annotations

from mercury import BatchTable, Entity, FeatureService, FeatureView, LightGBM, Model, Monitor, Project

FEATURES = [f"f{number:02}" for number in range(20)]

accounts = BatchTable(
    "accounts",
    schema={"account": "int64", "known": "timestamp", **dict.fromkeys(FEATURES, "float64")},
    event_time="known",
)
outcomes = BatchTable("outcomes", schema={"account": "int64", "asked": "timestamp", "bad": "bool"}, event_time="asked")
profile = FeatureView("profile", Entity("account", "account"), accounts, {name: name for name in FEATURES})
risk_v1 = FeatureService("risk_v1", [profile])
risk = Model(
    "risk",
    service=risk_v1,
    labels=outcomes,
    label="bad",
    event_time="asked",
    trainer=LightGBM(params={"num_leaves": 31}, rounds=100),
)
watch = Monitor("watch", model=risk)
project = Project("capture", [profile, risk_v1, risk, watch])
