"""Data formats: JSON, compression, DynamoDB's attribute values and expressions."""
