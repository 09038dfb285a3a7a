"""The web server process of `genaiops dev`: what `dagster-webserver` serves, behind a guard.

It is started with `python -m`, does what `dagster-webserver` does by default, and listens on
127.0.0.1 only.
"""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path

import uvicorn
from dagster._cli.utils import get_instance_for_cli
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._utils.interrupts import setup_interrupt_handlers
from dagster._utils.log import configure_loggers
from dagster_webserver.app import create_app_from_workspace_process_context
from dagster_webserver.cli import (
    DEFAULT_DB_STATEMENT_TIMEOUT,
    DEFAULT_POOL_MAX_OVERFLOW,
    DEFAULT_POOL_RECYCLE,
    WEBSERVER_LOGGER_NAME,
)
from dagster_webserver.version import __version__

from genaiops_dagster.cli.ui_address import read_dev_token
from genaiops_dagster.cli.web_guard import WebGuard

_LIVE_DATA_MILLISECONDS = 2000


def main() -> None:
    """Serve the instance of `DAGSTER_HOME` until interrupted."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="where the token is")
    parser.add_argument("-w", "--workspace", required=True)
    options = parser.parse_args()
    token = read_dev_token(options.folder)
    configure_loggers(log_level=os.environ.get("DAGSTER_WEBSERVER_LOG_LEVEL", "info").upper())
    setup_interrupt_handlers()
    with get_instance_for_cli(logger=logging.getLogger(WEBSERVER_LOGGER_NAME)) as instance:
        instance.optimize_for_webserver(
            DEFAULT_DB_STATEMENT_TIMEOUT, DEFAULT_POOL_RECYCLE, DEFAULT_POOL_MAX_OVERFLOW
        )
        with WorkspaceProcessContext(
            instance,
            version=__version__,
            workspace_load_target=WorkspaceFileTarget([options.workspace]),
            code_server_log_level="info",
        ) as context:
            app = create_app_from_workspace_process_context(
                context, live_data_poll_rate=_LIVE_DATA_MILLISECONDS
            )
            uvicorn.run(
                WebGuard(app, token, options.port),
                host="127.0.0.1",
                port=options.port,
                log_level="warning",
                access_log=False,  # addresses that set the cookie hold the token or a ticket
                proxy_headers=False,
            )


if __name__ == "__main__":
    main()
