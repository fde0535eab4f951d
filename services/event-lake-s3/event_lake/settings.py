"""The service's own settings. serverless.yml sets their variables; a handler checks those that it needs at import."""

from stream_runtime.settings import REQUIRED, Setting, text

BUCKET_NAME = Setting("BUCKET_NAME", text, REQUIRED, "the lake's bucket")
