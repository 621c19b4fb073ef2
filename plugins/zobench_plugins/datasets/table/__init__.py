"""``table``: one's own images, described by a table in a CSV, TSV or parquet file."""
