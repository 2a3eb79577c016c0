"""Datasette on the history: what every table and column means, queries to begin with, pages with charts."""
