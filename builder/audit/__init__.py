"""Sealed shards → what judges find in them: one record and one page.

The judges never hold the pen: nothing here plans, draws or renders, and nothing here changes a
dataset. Each judge gets `Pictures` and returns its part of the record (`builder.contract.audit`).
"""
