"""DynamoDB's update expressions, conditions and attribute values, for the requests that rules make."""

from .payload.attributes import marshall, unmarshall
from .payload.expressions import add, delete, pk_condition, timestamp_condition, update_expression

__all__ = ["add", "delete", "marshall", "pk_condition", "timestamp_condition", "unmarshall", "update_expression"]
