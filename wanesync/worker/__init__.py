"""The worker process: it claims jobs, paces and makes their calls, commits the answers, and sends heartbeats.

Begin with ``worker`` (the threads of a process), then ``lane`` (which jobs come next) and ``committer`` (the answers);
``lease``, ``in_flight`` and ``threads`` serve them. ``routine_tasks`` and ``retention`` run beside a worker.
"""
