"""Data on its way in and out: JSON, compression, DynamoDB's attribute values and expressions."""
