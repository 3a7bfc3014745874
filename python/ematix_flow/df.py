"""Frames: `conn.read_df(…)` and `conn.write_df(…)`.

The methods are there, and this version refuses them by `not_yet_supported`; the import changes nothing.
"""
