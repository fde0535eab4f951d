"""Sabotages: mistakes that somebody could make in a service, the engine, the runtime or a template."""

from sabotages.engine import ENGINE
from sabotages.runtime import RUNTIME
from sabotages.sabotage import Sabotage
from sabotages.services import SERVICES
from sabotages.templates import TEMPLATES

__all__ = ["ENGINE", "RUNTIME", "SABOTAGES", "SERVICES", "TEMPLATES", "Sabotage"]

SABOTAGES: tuple[Sabotage, ...] = (*ENGINE, *RUNTIME, *SERVICES, *TEMPLATES)
