"""DynamoDB's update expressions and conditions, for the requests that rules make."""

from .payload.expressions import add, delete, pk_condition, timestamp_condition, update_expression

__all__ = ["add", "delete", "pk_condition", "timestamp_condition", "update_expression"]
