"""The private pieces of Faust and aiokafka that the chunked consumer stands on."""

import inspect
from importlib.metadata import version

import pytest
from aiokafka import AIOKafkaConsumer
from faust.transport.consumer import Consumer
from faust.transport.drivers import aiokafka as driver


@pytest.mark.parametrize(
    ("package", "pinned"),
    [("faust-streaming", "0.15.3"), ("mode-streaming", "0.7.1"), ("aiokafka", "0.14.0")],
)
def test_the_packages_below_the_chunked_consumer_are_the_ones_it_was_proved_on(
    package: str, pinned: str
) -> None:
    """Their private API may change in any release: move the pin only with this file green.

    Then run tests/integration/test_ingest.py and tests/chaos/test_ingest.py before you keep it.
    """
    assert version(package) == pinned


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        (Consumer, "_drain_messages", ["self", "fetcher"]),
        (Consumer, "_wait_next_records", ["self", "timeout"]),
        (Consumer, "_new_offset", ["self", "tp"]),
        (Consumer, "on_buffer_full", ["self", "tp"]),
        (Consumer, "perform_seek", ["self"]),
        (Consumer, "stop_flow", ["self"]),
        (driver.Consumer, "seek_wait", ["self", "partitions"]),
        (driver.Consumer, "earliest_offsets", ["self", "partitions"]),
        (driver.Consumer, "highwaters", ["self", "partitions"]),
        (driver.AIOKafkaConsumerThread, "_ensure_consumer", ["self"]),
        (AIOKafkaConsumer, "last_poll_timestamp", ["self", "partition"]),
    ],
)
def test_a_private_method_that_is_overridden_or_called_still_has_its_shape(
    owner: type, name: str, parameters: list[str]
) -> None:
    """When this fails, read stream/ingest/chunks.py beside the new source and adapt it."""
    assert list(inspect.signature(getattr(owner, name)).parameters) == parameters


def test_the_drain_loop_still_delivers_through_callback_and_flow_events() -> None:
    """The override repeats Faust's protocol: callback raced with suspend_flow, read offsets kept."""
    source = inspect.getsource(Consumer._drain_messages)  # noqa: SLF001 # the contract is with it
    assert "self.wait_first(" in source
    assert "callback(message), self.suspend_flow.wait()" in source
    assert "consumer_stopped_errors" in source
