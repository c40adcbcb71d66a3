"""The report: a page that needs nothing but a browser, pictures, numbers."""

from .page import write_report

__all__ = ['write_report']
