"""What /metrics tells Prometheus. Each node has a registry of its own: no global state."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import CounterMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from asr_node.memory import DeviceMemory, resident_bytes

SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
RATIOS: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
BATCHES: Final = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True, slots=True)
class Gauges:
    """The node as it is at the moment of a scrape; sizes in bytes."""

    version: str
    digest: str
    engine: str
    device: str
    ready: bool
    degraded: bool
    in_flight: int
    queue_length: int
    worker_restarts: int
    worker_pids: tuple[int, ...] = ()
    decoder_pids: tuple[int, ...] = ()
    gpu_memory: tuple[DeviceMemory, ...] = ()
    history_degraded: bool = False
    shadow_waiting: int = 0


class Metrics:
    """Counted where things happen; what merely is, is read when Prometheus asks."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "asr_node_requests", "Answered requests", ["protocol", "status"], registry=registry
        )
        self._request_seconds = Histogram(
            "asr_node_request_duration_seconds",
            "From the request's first byte to the answer's last",
            ["protocol"],
            buckets=SECONDS,
            registry=registry,
        )
        self._model_seconds = Histogram(
            "asr_node_model_duration_seconds",
            "Spent in the model for one recording, without the wait for it",
            buckets=SECONDS,
            registry=registry,
        )
        self._first_partial_seconds = Histogram(
            "asr_node_first_partial_seconds",
            "From the first speech of a stream to its first words",
            buckets=SECONDS,
            registry=registry,
        )
        self._real_time_factor = Histogram(
            "asr_node_real_time_factor",
            "Seconds in the model for a second of audio",
            buckets=RATIOS,
            registry=registry,
        )
        self._audio_seconds = Counter(
            "asr_node_audio_seconds", "Seconds of audio transcribed", registry=registry
        )
        self._batch_size = Histogram(
            "asr_node_batch_size",
            "Utterances that went through the model together",
            buckets=BATCHES,
            registry=registry,
        )
        self._shadow_dropped = Counter(
            "asr_node_shadow_dropped",
            "Shadow requests for which there was no room",
            registry=registry,
        )
        self._replayed = Counter(
            "asr_node_replayed_requests",
            "Requests answered with the work of an earlier one of the same id",
            registry=registry,
        )
        self._websocket_streams = Gauge(
            "asr_node_websocket_streams", "Open WebSocket streams", registry=registry
        )

    def request(self, protocol: str, status: int, seconds: float) -> None:
        """`protocol` comes from a short list of ours: a label must not grow without bound."""
        self._requests.labels(protocol, str(status)).inc()
        self._request_seconds.labels(protocol).observe(seconds)

    def recognized(self, audio_seconds: float, model_seconds: float) -> None:
        """One whole recording."""
        self._audio_seconds.inc(audio_seconds)
        self._model_seconds.observe(model_seconds)
        if audio_seconds > 0:
            self._real_time_factor.observe(model_seconds / audio_seconds)

    def first_partial(self, seconds: float) -> None:
        """Once for a stream that heard somebody speak."""
        self._first_partial_seconds.observe(seconds)

    def batch(self, size: int) -> None:
        self._batch_size.observe(size)

    def shadow_dropped(self) -> None:
        self._shadow_dropped.inc()

    def replayed(self) -> None:
        self._replayed.inc()

    def websocket_opened(self) -> None:
        self._websocket_streams.inc()

    def websocket_closed(self) -> None:
        self._websocket_streams.dec()

    def watch(self, gauges: Callable[[], Gauges]) -> None:
        """Read `gauges` at every scrape. Once."""
        self._registry.register(_Now(gauges))

    def exposition(self) -> bytes:
        """In Prometheus' text format. Reads /proc: call it in a thread."""
        return generate_latest(self._registry)


class _Now(Collector):
    def __init__(self, gauges: Callable[[], Gauges]) -> None:
        self._gauges = gauges

    def describe(self) -> Iterator[Metric]:
        """Nothing, so that registering does not collect."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        now = self._gauges()
        yield InfoMetricFamily(
            "asr_node_build",
            "What is served",
            {
                "version": now.version,
                "digest": now.digest,
                "engine": now.engine,
                "device": now.device,
            },
        )
        for name, text, value in _values(now):
            yield GaugeMetricFamily(f"asr_node_{name}", text, value)
        yield CounterMetricFamily(
            "asr_node_worker_restarts", "Workers started after another ended", now.worker_restarts
        )
        yield _resident_memory(now)
        yield from _gpu_memory(now.gpu_memory)


def _values(now: Gauges) -> Iterator[tuple[str, str, float]]:
    yield "ready", "1 while /readyz says so", now.ready
    yield "degraded", "1 while the model runs on a lesser device than asked for", now.degraded
    yield "history_degraded", "1 while results cannot be recorded", now.history_degraded
    yield "in_flight_requests", "Requests that are being answered", now.in_flight
    yield "queue_length", "Utterances that wait for the model", now.queue_length
    yield "shadow_waiting", "Shadow requests that wait for their turn", now.shadow_waiting


def _resident_memory(now: Gauges) -> Metric:
    family = GaugeMetricFamily(
        "asr_node_resident_memory_bytes", "Of the node's processes", labels=["process"]
    )
    named = {"front": os.getpid()}
    named |= {f"worker-{i}": pid for i, pid in enumerate(now.worker_pids)}
    named |= {f"decoder-{i}": pid for i, pid in enumerate(now.decoder_pids)}
    for name, pid in named.items():
        if size := resident_bytes(pid):  # else it has just ended
            family.add_metric([name], size)
    return family


def _gpu_memory(memories: Sequence[DeviceMemory]) -> Iterator[Metric]:
    for name, text, sizes in (
        ("", "Held by the model's processes", [m.held_bytes for m in memories]),
        ("_free", "Held by nobody", [m.free_bytes for m in memories]),
        ("_total", "That the device has", [m.total_bytes for m in memories]),
    ):
        family = GaugeMetricFamily(f"asr_node_gpu_memory{name}_bytes", text, labels=["device"])
        for memory, size in zip(memories, sizes, strict=True):
            family.add_metric([memory.device], size)
        yield family
