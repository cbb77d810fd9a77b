"""Celery, which carries the ids of jobs to the workers.

https://docs.celeryq.dev/en/stable/userguide/configuration.html
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any

from celery import Celery
from celery.worker import WorkController, state
from kombu.exceptions import OperationalError

from fhir_server.bases import DEFAULT

TASK = "sangam.job"
QUEUE = "sangam"
CONCURRENCY = 8
NUDGE = 0
START_SECONDS = 30

_SETTINGS: dict[str, Any] = {
    "task_serializer": "json",
    "accept_content": ["json"],
    "task_ignore_result": True,
    "task_acks_late": True,
    "task_default_queue": QUEUE,
    "task_store_errors_even_if_ignored": False,
    "worker_prefetch_multiplier": 1,
    "worker_enable_remote_control": False,
    "worker_hijack_root_logger": False,
    "worker_send_task_events": False,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "broker_connection_timeout": 4,
}


class Broker:
    """Where ids are published, and where this process takes them from.

    `carry_out` is called with an id and the tenant whose it is in a thread of the pool, and
    blocks it until the job is done.
    """

    def __init__(self, url: str, carry_out: Callable[[int, str], None]) -> None:
        self.starts_empty = url.startswith("memory:")
        # Kombu warns of an address without a host.
        self._app = Celery("sangam", broker=f"{url}localhost" if url == "memory://" else url)
        self._app.conf.update(_SETTINGS)
        self._app.conf.broker_transport_options = _transport(url)
        if self.starts_empty:
            # The queues of memory:// belong to the process, and a second broker has its own.
            self._app.conf.task_default_queue = f"{QUEUE}-{id(self)}"

        # Celery reads the signature of a function, and not that of a bound method.
        def job(id_: int, tenant: str = DEFAULT) -> None:
            if id_ != NUDGE:
                carry_out(id_, tenant)

        self._task = self._app.task(job, name=TASK, shared=False)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._consume, name="celery", daemon=True)

    def publish(self, ids: Sequence[int], tenant: str = DEFAULT) -> int:
        """Send ids of a tenant's jobs and return how many the broker took."""
        sent = 0
        try:
            with self._app.producer_pool.acquire(block=True) as producer:
                for id_ in ids:
                    self._task.apply_async((id_, tenant), producer=producer, retry=False)
                    sent += 1
        except (OperationalError, OSError):
            return sent
        return sent

    @property
    def takes(self) -> bool:
        """Whether this process still takes ids."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Take ids from the broker, in a thread of its own."""
        state.should_stop = None
        # The threads of the pool look up the task in the default application.
        self._app.set_default()
        self._thread.start()
        if self.starts_empty:
            # What is published before the queue is known to memory:// is dropped.
            self._ready.wait(START_SECONDS)

    def stop(self, seconds: float) -> None:
        """Take no more, and wait for what is under way."""
        state.should_stop = 0
        if self.starts_empty:
            # Celery looks for the flag between two messages, else after four seconds.
            self.publish((NUDGE, NUDGE))
        self._thread.join(seconds)
        self._app.close()

    def _consume(self) -> None:
        WorkController(
            app=self._app,
            pool="threads",
            concurrency=CONCURRENCY,
            without_gossip=True,
            without_heartbeat=True,
            without_mingle=True,
            ready_callback=lambda _: self._ready.set(),
        ).start()


def _transport(url: str) -> dict[str, Any]:
    if url.startswith("memory:"):
        # Celery looks into memory once a second, unless told otherwise.
        return {"polling_interval": 0.005}
    if url.startswith(("redis:", "rediss:")):
        return {"socket_connect_timeout": 4, "socket_keepalive": True, "visibility_timeout": 3600}
    return {}
