"""Serverless doors: the web application as a platform calls it that starts and freezes processes as it likes.

Begin with ``door``. ``aws_lambda`` is for AWS Lambda, ``container`` for Google Cloud Run and other containers, and
``asgi`` for any ASGI server. docs/deploy.md has a section for each.
"""
