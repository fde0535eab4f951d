"""Where collected events are kept: one DynamoDB table."""
