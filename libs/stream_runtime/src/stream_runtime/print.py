"""Debug lines at the start and the end of a pipeline, for custom flavors."""

from .rules.debug_lines import print_end_pipeline, print_start_pipeline

__all__ = ["print_end_pipeline", "print_start_pipeline"]
