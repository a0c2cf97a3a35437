"""The report: an HTML file that opens offline; the figures are also written as files."""
