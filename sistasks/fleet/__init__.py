"""Suites on other machines: a run is a task of Dask's; what comes back is recorded here, and only here."""
