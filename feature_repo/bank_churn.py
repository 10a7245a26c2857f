"""Feast definitions of bank_churn; pipelines/use_cases/bank_churn.yaml says how they are filled."""

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource
from feast.types import Float64, Int64, String
from feast.value_type import ValueType

from serin.workspace import feature_source

customer_entity = Entity(
    name="bank_churn_customer",
    join_keys=["CustomerId"],
    value_type=ValueType.INT64,
    description="A customer, identified by CustomerId.",
)

bank_churn_customer_view = FeatureView(
    name="bank_churn_customer",
    entities=[customer_entity],
    # No limit: a snapshot holds until the next one.
    ttl=timedelta(0),
    schema=[
        Field(
            name="CustomerId",
            dtype=Int64,
            description="The customer.",
        ),
        Field(
            name="CreditScore",
            dtype=Int64,
            description="CreditScore, as the table has it.",
        ),
        Field(
            name="Geography",
            dtype=String,
            description="Geography, as the table has it.",
        ),
        Field(
            name="Gender",
            dtype=String,
            description="Gender, as the table has it.",
        ),
        Field(
            name="Age",
            dtype=Int64,
            description="Age, as the table has it.",
        ),
        Field(
            name="Tenure",
            dtype=Int64,
            description="Tenure, as the table has it.",
        ),
        Field(
            name="Balance",
            dtype=Float64,
            description="Balance, as the table has it.",
        ),
        Field(
            name="NumOfProducts",
            dtype=Int64,
            description="NumOfProducts, as the table has it.",
        ),
        Field(
            name="HasCrCard",
            dtype=Int64,
            description="HasCrCard, as the table has it.",
        ),
        Field(
            name="IsActiveMember",
            dtype=Int64,
            description="IsActiveMember, as the table has it.",
        ),
        Field(
            name="EstimatedSalary",
            dtype=Float64,
            description="EstimatedSalary, as the table has it.",
        ),
    ],
    source=FileSource(
        name="bank_churn_customer",
        path=feature_source("bank_churn", "bank_churn_customer"),
        timestamp_field="event_timestamp",
    ),
    description="The customer's row in the latest snapshot.",
)

service = FeatureService(
    name="bank_churn_v1",
    features=[bank_churn_customer_view],
    description="The features of bank_churn's models.",
)
