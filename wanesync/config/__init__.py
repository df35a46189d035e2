"""The configuration: TOML and environment, checked as a whole, into one frozen value.

Begin with ``model``; ``value_types`` checks single values, ``overrides`` the raw tables, ``references`` secrets.
"""
