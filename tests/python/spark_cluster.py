"""A cluster of Spark on this machine: a master and two workers, at two addresses, or Spark would not run a task twice."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
START_SECONDS = 120
# These processes live for a minute.
JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
PYTHONPATH = os.pathsep.join([str(ROOT / "python"), str(ROOT / "tests" / "python")])


@contextmanager
def spark_session(directory: Path) -> Iterator[Any]:
    """A session whose tasks are repeated when they fail, and run twice when they are slow."""
    from pyspark.sql import SparkSession

    with ExitStack() as stack:
        master = stack.enter_context(daemon(directory, "master.Master", "--host", "127.0.0.1", "--port", "0"))
        address = started(directory / "master.Master.log", re.compile(r"Starting Spark master at (spark://\S+)"))
        for number in (1, 2):
            host, work = f"127.0.0.{number}", directory / f"worker-{number}"
            own = ("--host", host, "--cores", "2", "--memory", "1g", "--work-dir", str(work))
            stack.enter_context(daemon(directory, "worker.Worker", *own, address, log=f"worker-{number}.log"))
        assert master.poll() is None
        settings = {
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.extraJavaOptions": JAVA,
            "spark.driver.host": "127.0.0.1",
            "spark.executor.extraJavaOptions": JAVA,
            "spark.executor.memory": "512m",
            "spark.executorEnv.PYTHONPATH": PYTHONPATH,
            "spark.local.dir": str(directory / "local"),
            "spark.log.level": "ERROR",
            "spark.speculation": "true",
            "spark.speculation.interval": "100ms",
            "spark.speculation.minTaskRuntime": "500ms",
            "spark.speculation.quantile": "0.5",
            "spark.sql.session.timeZone": "Asia/Tokyo",
            "spark.sql.shuffle.partitions": "2",
            "spark.sql.warehouse.dir": str(directory / "warehouse"),
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
        }
        builder = SparkSession.builder.master(address).appName("tests")
        for name, value in settings.items():
            builder = builder.config(name, value)
        session = builder.getOrCreate()
        try:
            yield session
        finally:
            session.stop()
            gateway = session.sparkContext._gateway
            type(session.sparkContext)._gateway = type(session.sparkContext)._jvm = None
            gateway.shutdown()
            gateway.proc.stdin.close()
            gateway.proc.wait(30)


@contextmanager
def daemon(directory: Path, name: str, *arguments: str, log: str | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """One process of the cluster."""
    import pyspark

    home = Path(pyspark.__file__).parent
    environment = {
        **os.environ,
        "SPARK_HOME": str(home),
        "SPARK_DAEMON_JAVA_OPTS": JAVA,
        "SPARK_DAEMON_MEMORY": "256m",
    }
    command = [str(home / "bin" / "spark-class"), f"org.apache.spark.deploy.{name}", "--webui-port", "0", *arguments]
    with (directory / (log or f"{name}.log")).open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def started(log: Path, said: re.Pattern[str]) -> str:
    """What a process says when it is there."""
    deadline = time.monotonic() + START_SECONDS
    while (found := said.search(log.read_text(encoding="utf-8"))) is None:
        assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
        time.sleep(0.1)
    return found[1]


def java_works() -> bool:
    """Whether there is a Java; `./do test` installs one."""
    return shutil.which("java") is not None
