"""One self-contained HTML page out of plain rows."""

from bitsmith.report.page import draw_page, write_page

__all__ = ["draw_page", "write_page"]
