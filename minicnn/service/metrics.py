"""What a service counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

__all__ = ["Metrics"]

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
SIZES = (1, 2, 4, 8, 16, 32, 64)
WHY = ("full", "waited", "alone", "closing")  # a batch left the queue


class Metrics:
    """Counters, gauges and histograms of one service.

    Attributes
    ----------
    requests : by path and status; of paths that there are not, "other"
    refusals : by reason, of ``minicnn.service.refusals.REASONS``
    seconds : of a request, from its head to its answer, by path
    queued, computed : seconds in the queue, and in the network, by task
    batches : by why they left: full; waited, with others of their kind; alone; closing
    sizes : pictures of a batch
    queue, reading, ready, stuck : as they are now; stuck while a batch takes longer than its limit

    """

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        ProcessCollector(registry=own)
        self.requests = Counter("minicnn_requests", "Requests.", ["path", "status"], registry=own)
        self.refusals = Counter("minicnn_refusals", "Requests without an answer.", ["reason"], registry=own)
        self.seconds = Histogram(
            "minicnn_request_seconds", "From head to answer.", ["path"], buckets=SECONDS, registry=own
        )
        self.queued = Histogram(
            "minicnn_queue_seconds", "In the queue, decoding included.", ["task"], buckets=SECONDS, registry=own
        )
        self.computed = Histogram(
            "minicnn_compute_seconds", "In the network, by batch.", ["task"], buckets=SECONDS, registry=own
        )
        self.batches = Counter("minicnn_batches", "Batches, by why they left.", ["why"], registry=own)
        self.sizes = Histogram("minicnn_batch_pictures", "Pictures of a batch.", buckets=SIZES, registry=own)
        self.queue = Gauge("minicnn_queue_length", "Requests received and not answered.", registry=own)
        self.reading = Gauge("minicnn_reading", "Pictures that are being received.", registry=own)
        self.ready = Gauge("minicnn_ready", "Whether requests are taken.", registry=own)
        self.stuck = Gauge("minicnn_stuck", "Whether a batch takes longer than its limit.", registry=own)
        # what has not happened yet is 0, so that an alert on its rate works from the start
        for why in WHY:
            self.batches.labels(why)

    def text(self) -> bytes:
        """Return all in the text format."""
        return generate_latest(self.registry)
