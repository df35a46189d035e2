"""Live sync: one job in, at most one vendor write out.

Read in this order: intake, loader, reader, ``writes`` (write_jobs, writer, sender, recovery), record_versions,
provenance, lost_updates, plan_effects, job_results. calls and runtime hold what they all share.
"""
