"""The API of the admin service: ``/api/v1``, one module per area, the same ``ops`` functions as the pages and commands.

How to add the routes of an area (``wanesync/admin/api/AREA.py``):

1. ``router = make_router("limits")`` (``api.routes``), and no more: the application finds the ``router`` of each module
   of this package and puts its paths below ``/api/v1``.
2. Each route declares its permission: ``visitor: Annotated[Visitor, require(Permission.X)]``. Endpoints are
   plain functions (``def``): FastAPI runs them in threads, and the store blocks.
3. Answers are ``ApiModel`` classes (``api.models``), or a dataclass of ``ops`` where its fields are the answer; the
   document gets an example of each, with the ``examples`` of a ``Field`` where it has some. A list is a ``Page[Item]``
   and takes ``paging: PagingQuery``;
   ``encode_cursor(store, listing, position)`` and ``decode_cursor`` (``api.cursors``) make its cursors, where
   ``listing`` is the name of the list and every filter of the request, and ``position`` holds ids and times only.
4. Nothing catches errors: raise the typed ones (``NotFound``, ``ConfigError``, ``GuardError`` …). ``api.problems``
   turns each into a problem (RFC 9457); a new error class with a status of its own gets a row in ``KINDS`` there.
5. A changing route is idempotent under ``Idempotency-Key`` without more: its answer is stored for a day, so it holds
   ids, names and counts, never a person's values. A POST that shows values and changes nothing says so:
   ``openapi_extra={NOT_KEYED: True}``.
6. Give each route a ``summary`` and a docstring; texts have a ``max_length``, numbers bounds, and enumerations are
   ``StrEnum``: the fuzzer (``python -m tests.robustness.api_fuzz``) tries every value that the document allows.
"""
