"""Feast definitions of card_fraud; pipelines/use_cases/card_fraud.yaml says how they are filled.

A model gets the values of the time of the transaction itself, computed from the events. The rows that Feast reads
online are those of the last refresh (`serin refresh`). Of terminals everything is a week old: a fraud is known only
once it is reported.
"""

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource
from feast.types import Float64, Int64
from feast.value_type import ValueType

from serin.workspace import feature_source

customer = Entity(
    name="card_fraud_customer",
    join_keys=["CUSTOMER_ID"],
    value_type=ValueType.INT64,
    description="The holder of a card.",
)

terminal = Entity(
    name="card_fraud_terminal",
    join_keys=["TERMINAL_ID"],
    value_type=ValueType.INT64,
    description="The machine that takes a card: in a shop, or a shop on the web.",
)

customer_activity = FeatureView(
    name="customer_activity",
    entities=[customer],
    # So long after the last refresh or push, the known events are no more believed to be all there are.
    ttl=timedelta(days=2),
    schema=[
        Field(name="CUSTOMER_ID", dtype=Int64, description="The customer."),
        Field(name="customer_count_1d", dtype=Float64, description="Transactions of the last day."),
        Field(name="customer_count_7d", dtype=Float64, description="Transactions of the last 7 days."),
        Field(name="customer_count_30d", dtype=Float64, description="Transactions of the last 30 days."),
        Field(name="customer_amount_mean_1d", dtype=Float64, description="Mean amount of the last day."),
        Field(name="customer_amount_mean_7d", dtype=Float64, description="Mean amount of the last 7 days."),
        Field(name="customer_amount_mean_30d", dtype=Float64, description="Mean amount of the last 30 days."),
        Field(name="customer_amount_max_30d", dtype=Float64, description="Largest amount of the last 30 days."),
    ],
    source=FileSource(
        name="customer_activity",
        path=feature_source("card_fraud", "customer_activity"),
        timestamp_field="event_timestamp",
    ),
    description="How often and for how much the customer pays lately; to a model, with the payment at hand.",
)

terminal_risk = FeatureView(
    name="terminal_risk",
    entities=[terminal],
    ttl=timedelta(days=2),
    schema=[
        Field(name="TERMINAL_ID", dtype=Int64, description="The terminal."),
        Field(name="terminal_count_1d", dtype=Float64, description="Transactions of the day up to a week ago."),
        Field(name="terminal_count_7d", dtype=Float64, description="Transactions of the 7 days up to a week ago."),
        Field(name="terminal_count_30d", dtype=Float64, description="Transactions of the 30 days up to a week ago."),
        Field(name="terminal_fraud_rate_1d", dtype=Float64, description="Share of fraud in the day up to a week ago."),
        Field(
            name="terminal_fraud_rate_7d",
            dtype=Float64,
            description="Share of fraud in the 7 days up to a week ago.",
        ),
        Field(
            name="terminal_fraud_rate_30d",
            dtype=Float64,
            description="Share of fraud in the 30 days up to a week ago.",
        ),
    ],
    source=FileSource(
        name="terminal_risk",
        path=feature_source("card_fraud", "terminal_risk"),
        timestamp_field="event_timestamp",
    ),
    description="How busy the terminal is, and how much of that was fraud.",
)

service = FeatureService(
    name="card_fraud_v1",
    features=[customer_activity, terminal_risk],
    description="The features of card_fraud's models.",
)
