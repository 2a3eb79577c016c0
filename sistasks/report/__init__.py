"""The report: pages, JSON, JUnit and Markdown, from the history alone."""

from __future__ import annotations

from sistasks.report.collect import collect
from sistasks.report.junit import junit
from sistasks.report.markdown import markdown_summary
from sistasks.report.write import write_report

__all__ = ["collect", "junit", "markdown_summary", "write_report"]
