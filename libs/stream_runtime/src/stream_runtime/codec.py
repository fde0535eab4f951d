"""JSON as events carry it: Decimals, sets, dates and bytes have a form, and orjson is used where it is installed."""

from .payload.codec import decode, encode

__all__ = ["decode", "encode"]
