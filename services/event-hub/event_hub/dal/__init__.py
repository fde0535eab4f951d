"""Where objects are read and events are published: S3, EventBridge, Lambda."""
