"""The fault monitor keeps faults in S3 and counts them by service, function, pipeline and error."""
