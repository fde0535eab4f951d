"""The fault monitor: faults are kept in S3 and measured by service, function, pipeline and error."""
