"""Folders of a million images: answers in shards, nothing lost, nothing twice.

>>> from minicnn import batch
>>> batch.Job("predict", top=3).top
3
"""

from minicnn.batch.call import run
from minicnn.batch.inputs import Input, list_inputs
from minicnn.batch.job import Job
from minicnn.batch.runner import Summary, run_batch

__all__ = ["Input", "Job", "Summary", "list_inputs", "run", "run_batch"]
