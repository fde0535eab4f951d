"""Where faults are read, measured and remembered: S3, CloudWatch, DynamoDB."""
