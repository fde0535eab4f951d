"""Where items are stored: one DynamoDB table."""
