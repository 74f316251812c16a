"""One run of the bench: start everything, measure row after row, return the figures."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from infra.postgres import PostgresCluster
from tests.load import box_rows, core_rows, figures, request_rows, servers
from tests.load.figures import Figures
from tests.load.floors import BareDatabase
from tests.load.generator import Generator
from tests.load.request_rows import Bench

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.load.scale import Scale


def run(scale: Scale, say: Callable[[str], None], generator: str | None = None) -> Figures:
    """Measure all rows; `say` is told what is being done.

    Raises SetupError, ProvisioningError, LoadError, BoxError.
    """
    at, commit = figures.now(), figures.commit()
    with ExitStack() as stack:
        directory = stack.enter_context(servers.work_directory())
        load = Generator(directory, generator)
        say("PostgreSQL")
        server, postmaster = stack.enter_context(servers.postgres(directory))
        machine = figures.machine(str(server.program_version()))
        cluster = PostgresCluster(server.admin_dsn)
        say("template database")
        cluster.ensure_template(servers.FHIR_VERSION)
        say("box host and box")
        # First the host: its mould preloads while the box starts, and is idle afterwards.
        host = stack.enter_context(servers.box_host(directory))
        box = stack.enter_context(servers.single_box(cluster, directory))
        hello_port, hello_pid = stack.enter_context(servers.hello(directory))
        bench = Bench(
            generator=load,
            box=box,
            database=stack.enter_context(BareDatabase(box.address, postmaster)),
            postmaster=postmaster,
            hello_port=hello_port,
            hello_pid=hello_pid,
            scale=scale,
            say=say,
        )
        http_get, http_post = request_rows.http_rows(bench)
        rows = [
            *request_rows.request_rows(bench, http_get, http_post),
            *request_rows.bundle_rows(bench),
            *core_rows.conversion_rows(bench),
            *core_rows.interaction_rows(bench, http_get, http_post),
        ]
        rows.extend(box_rows.box_rows(bench, cluster, host, directory))
        say("stopping, removing files")
    return Figures(
        at=at,
        commit=commit,
        scale=scale.name,
        generator=load.name,
        machine=machine,
        rows=[*rows, http_get, http_post],
    )
