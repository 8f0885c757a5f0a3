"""Prometheus metrics, read from the engine when they are asked for."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from relay.engine.fleet import Fleet
from relay.engine.outbox import OutboxStats


class EngineCollector(Collector):
    def __init__(self, engine: Fleet) -> None:
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        stats = self._engine.stats()
        yield GaugeMetricFamily("relay_publishers", "Publishers with a session", value=stats.publishers)
        yield GaugeMetricFamily("relay_viewers", "Viewers with a session", value=stats.viewers)
        tasks = GaugeMetricFamily("relay_tasks", "Push tasks by state", labels=["state"])
        for state, count in stats.tasks.items():
            tasks.add_metric([state.value], count)
        yield tasks
        yield CounterMetricFamily("relay_sent_bytes", "Bytes written to CDNs", value=stats.bytes_sent)
        sound = CounterMetricFamily("relay_made_sound_seconds", "Sound that publishers did not send", labels=["kind"])
        for kind in ("concealed", "silence"):
            sound.add_metric([kind], getattr(stats, kind))
        yield sound
        media = CounterMetricFamily("relay_media_seconds", "Time inside media ticks, by phase", labels=["phase"])
        for phase in ("reception", "sound", "pushing", "viewing"):
            media.add_metric([phase], getattr(stats.tick, phase))
        yield media
        yield GaugeMetricFamily(
            "relay_media_cpu_share",
            "CPU seconds a second of the thread with the media loop",
            value=stats.load.cpu_share,
        )
        yield GaugeMetricFamily("relay_tick_lag_seconds", "How late media ticks begin", value=stats.load.lag)
        yield CounterMetricFamily("relay_tick_overruns", "Media ticks that began late", value=stats.load.overruns)
        ledger = self._engine.ledger_stats()
        yield GaugeMetricFamily("relay_ledger_waiting", "Tasks whose state is not recorded yet", value=ledger.waiting)
        yield CounterMetricFamily("relay_database_failures", "Transactions that failed", value=ledger.failures)


class CallbackCollector(Collector):
    def __init__(self, stats: OutboxStats) -> None:
        self._stats = stats

    def collect(self) -> Iterator[Metric]:
        stats = self._stats
        events = CounterMetricFamily("relay_callbacks", "Events by what became of them", labels=["outcome"])
        for outcome in ("delivered", "given_up", "dropped"):
            events.add_metric([outcome], getattr(stats, outcome))
        yield events
        yield CounterMetricFamily("relay_callback_failed_calls", "Calls that failed", value=stats.failed_calls)
        yield GaugeMetricFamily("relay_callbacks_pending", "Events that wait for a receiver", value=stats.pending)
