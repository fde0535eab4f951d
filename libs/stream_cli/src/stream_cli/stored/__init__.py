"""Events as the delivery streams keep them in S3: found by hour, read line by line, chosen by what they are."""
