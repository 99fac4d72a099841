"""The report of one rollout: what happened, who did it, and on which numbers. Pure: it is made of
what the store keeps, so it can be asked for years later, whatever became of nodes and eval sets."""

from controller.report.html import content_policy, html
from controller.report.markdown import markdown
from controller.report.record import Record, report_data, report_of

__all__ = ["Record", "content_policy", "html", "markdown", "report_data", "report_of"]
