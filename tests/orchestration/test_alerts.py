"""Alerts, sent by real sensors to a webhook and a mail server of this test."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import dagster as dg
import pytest

from genaiops_dagster.orchestration import alerts
from genaiops_dagster.orchestration.alerts import AlertsError, build_alerts
from genaiops_dagster.orchestration.asset_options import Materialized
from genaiops_dagster.orchestration.plain_text import escape_markdown
from tests.values import present


class Received(list[str]):
    """The texts that arrived, all that came with the last of them, and where to send them."""

    port: int
    body: dict[str, object]


@pytest.fixture
def slack() -> Iterator[Received]:
    received = Received()

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.body = json.loads(body)
            received.append(str(received.body["text"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Webhook) as server:
        received.port = server.server_port
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield received
        server.shutdown()
        thread.join()


@pytest.fixture
def mail() -> Iterator[Received]:
    """As much of RFC 5321 as a client needs to hand in a message."""
    received = Received()

    class Session(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 test\r\n")
            while line := self.rfile.readline():
                command = line[:4].upper()
                if command == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    lines = iter(self.rfile.readline, b".\r\n")
                    received.append(b"".join(lines).decode())
                self.wfile.write(b"221 bye\r\n" if command == b"QUIT" else b"250 ok\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Session) as server:
        received.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield received
        server.shutdown()
        thread.join()


@dg.asset
def broken() -> None:
    raise dg.Failure("the model could not be tuned")


@dg.asset(check_specs=[dg.AssetCheckSpec("input_drift", asset="watched")])
def watched() -> Materialized:
    result = dg.AssetCheckResult(passed=False, check_name="input_drift", description="p = 1e-9")
    return dg.MaterializeResult(check_results=[result])


@dg.asset
def fine() -> None:
    pass


def run_and_tick(environment: dict[str, str], asset: dg.AssetsDefinition) -> list[str]:
    """Materialize an asset, then do what the daemon does with the sensors."""
    sensors = build_alerts(environment)
    with dg.instance_for_test() as instance:
        result = dg.materialize([asset], instance=instance, raise_on_error=False)
        if result.success:
            event = result.get_run_success_event()
            context = dg.build_run_status_sensor_context(
                "alert_on_failed_checks", event, instance, result.dagster_run
            )
            reaction = sensors[1](context)
        else:
            event = result.get_run_failure_event()
            context = dg.build_run_status_sensor_context(
                "alert_on_failure", event, instance, result.dagster_run
            )
            reaction = sensors[0](context.for_run_failure())
    assert isinstance(reaction, dg.SkipReason)
    return [present(reaction.skip_message)]


def test_nobody_is_told_unless_configured() -> None:
    assert build_alerts({}) == []


def test_a_failed_run_is_told_in_slack(slack: Received) -> None:
    run_and_tick({alerts.SLACK_WEBHOOK: f"http://127.0.0.1:{slack.port}/x"}, broken)
    assert "failed" in slack[0]
    assert "step broken: the model could not be tuned" in slack[0]


def test_what_failed_is_a_text_in_slack(slack: Received) -> None:
    @dg.asset(check_specs=[dg.AssetCheckSpec("hostile", asset="checked")])
    def checked() -> Materialized:
        said = escape_markdown("<!channel> <https://evil.example|*look*> a_b & [c]")
        result = dg.AssetCheckResult(passed=False, check_name="hostile", description=said)
        return dg.MaterializeResult(check_results=[result])

    run_and_tick({alerts.SLACK_WEBHOOK: f"http://127.0.0.1:{slack.port}/x"}, checked)
    assert "&lt;!channel&gt; &lt;https://evil.example|*look*&gt; a_b &amp; [c]" in slack[0]
    assert [slack.body[name] for name in ("mrkdwn", "unfurl_links", "unfurl_media")] == [False] * 3


def test_a_failed_check_of_a_run_that_went_on_is_told_by_mail(mail: Received) -> None:
    environment = {
        alerts.EMAIL_TO: "ops@example.com",
        alerts.EMAIL_FROM: "genaiops@example.com",
        alerts.SMTP_HOST: "127.0.0.1",
        alerts.SMTP_PORT: str(mail.port),
    }
    run_and_tick(environment, watched)
    assert "check input_drift of watched: p = 1e-9" in mail[0]
    assert "To: ops@example.com" in mail[0]


def test_a_run_in_which_all_is_well_is_not_told(slack: Received) -> None:
    told = run_and_tick({alerts.SLACK_WEBHOOK: f"http://127.0.0.1:{slack.port}/x"}, fine)
    assert told == ["no check failed"]
    assert slack == []


def test_half_configured_mail_is_an_error() -> None:
    with pytest.raises(AlertsError, match=r"GENAIOPS_ALERTS_EMAIL_FROM, GENAIOPS_ALERTS_SMTP_HOST"):
        build_alerts({alerts.EMAIL_TO: "ops@example.com"})


def test_the_code_location_has_the_sensors_when_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    from genaiops_dagster.orchestration.assembly import build_definitions

    names = {sensor.name for sensor in build_definitions([]).sensors or ()}
    assert "alert_on_failure" not in names
    monkeypatch.setenv(alerts.SLACK_WEBHOOK, "http://127.0.0.1:1/x")
    names = {sensor.name for sensor in build_definitions([]).sensors or ()}
    assert {"alert_on_failure", "alert_on_failed_checks"} <= names
