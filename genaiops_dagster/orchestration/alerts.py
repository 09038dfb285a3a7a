"""Alerts: failed runs and failed checks, sent to Slack or by e-mail; off unless configured.

Messages name run, job, step and check, and repeat the check's description. They hold no prompt, no
answer and no row.
"""

# Not `dg.make_email_on_run_failure_sensor`: it sends HTML, in which an error's text would be
# markup, always needs a password, and sees no failed checks of runs that succeeded.

import html
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import dagster as dg

from genaiops_dagster.orchestration.plain_text import unescape_markdown

if TYPE_CHECKING:
    from dagster._core.execution.plan.objects import StepFailureData

SLACK_WEBHOOK = "GENAIOPS_ALERTS_SLACK_WEBHOOK"
EMAIL_TO = "GENAIOPS_ALERTS_EMAIL_TO"
EMAIL_FROM = "GENAIOPS_ALERTS_EMAIL_FROM"
SMTP_HOST = "GENAIOPS_ALERTS_SMTP_HOST"
SMTP_PORT = "GENAIOPS_ALERTS_SMTP_PORT"
SMTP_PASSWORD = "GENAIOPS_ALERTS_SMTP_PASSWORD"  # noqa: S105 - the name of a variable

Send = Callable[[str, str], None]
"""Sends a subject and a text."""


class AlertsError(RuntimeError):
    """Alerts are half configured; the message names what is missing."""


def build_alerts(environment: Mapping[str, str]) -> list[dg.SensorDefinition]:
    """The sensors `alert_on_failure` and `alert_on_failed_checks`, if a channel is configured.

    Args:
        environment: Variables: `GENAIOPS_ALERTS_SLACK_WEBHOOK`, the address of an incoming webhook,
            and for e-mail `GENAIOPS_ALERTS_EMAIL_TO` (several with commas), `..._EMAIL_FROM`,
            `..._SMTP_HOST`, and optionally `..._SMTP_PORT` and `..._SMTP_PASSWORD`.

    Raises:
        AlertsError: e-mail is half configured.
    """
    channels = [*_slack(environment), *_email(environment)]
    if not channels:
        return []

    def report(run: dg.DagsterRun, instance: dg.DagsterInstance, problem: str) -> str:
        """Send what went wrong to every channel, or nothing if nothing did; what was done."""
        lines = [problem, *failed_checks(instance, run.run_id)]
        text = "\n".join(filter(None, lines))
        if not text:
            return "no check failed"
        what = "failed" if problem else "has failed checks"
        subject = f"{run.job_name} {what} (run {run.run_id[:8]})"
        for send in channels:
            send(subject, text)
        return f"sent to {len(channels)}: {subject}"

    @dg.run_failure_sensor(
        name="alert_on_failure",
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Reports failed runs in Slack or by e-mail.",
    )
    def alert_on_failure(context: dg.RunFailureSensorContext) -> dg.SkipReason:
        steps = [
            f"step {event.step_key}: {_reason(event.step_failure_data)}"
            for event in context.get_step_failure_events()
        ]
        problem = "\n".join(steps) or context.failure_event.message or "the run failed"
        return dg.SkipReason(report(context.dagster_run, context.instance, problem))

    @dg.run_status_sensor(
        name="alert_on_failed_checks",
        run_status=dg.DagsterRunStatus.SUCCESS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Reports failed checks of runs that succeeded in Slack or by e-mail.",
    )
    def alert_on_failed_checks(context: dg.RunStatusSensorContext) -> dg.SkipReason:
        return dg.SkipReason(report(context.dagster_run, context.instance, ""))

    return [alert_on_failure, alert_on_failed_checks]


def failed_checks(instance: dg.DagsterInstance, run_id: str) -> Iterable[str]:
    """The failed checks of a run, with their descriptions; warnings are left out."""
    entries = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    for entry in entries:
        event = entry.dagster_event
        if event is None:
            continue
        check = event.asset_check_evaluation_data
        if not check.passed and check.severity == dg.AssetCheckSeverity.ERROR:
            asset = check.asset_key.to_user_string()
            description = unescape_markdown(check.description or "failed")
            yield f"check {check.check_name} of {asset}: {description}"


def _reason(failure: "StepFailureData") -> str:
    """The step's own error, in one line."""
    description = failure.user_failure_data and failure.user_failure_data.description
    error: object = failure.error
    while getattr(error, "cause", None) is not None:
        error = error.cause  # type: ignore[attr-defined]
    return (description or str(getattr(error, "message", error))).strip().partition("\n")[0][:500]


def _slack(environment: Mapping[str, str]) -> list[Send]:
    webhook = environment.get(SLACK_WEBHOOK)
    if not webhook:
        return []

    def send(subject: str, text: str) -> None:
        try:
            from slack_sdk.webhook import WebhookClient
        except ImportError as error:
            raise AlertsError(
                f"{SLACK_WEBHOOK} is set, but slack_sdk is not installed: "
                "pip install 'genaiops-dagster[alerts]'"
            ) from error
        # Shown as it is: no mention, link or preview comes from what a check or an error says.
        response = WebhookClient(webhook).send_dict(
            {
                "text": html.escape(f"{subject}\n{text}", quote=False),
                **{"mrkdwn": False, "unfurl_links": False, "unfurl_media": False},
            }
        )
        if response.status_code != 200:
            raise AlertsError(f"Slack answered {response.status_code}: {response.body[:200]}")

    return [send]


def _email(environment: Mapping[str, str]) -> list[Send]:
    to = environment.get(EMAIL_TO)
    if not to:
        return []
    missing = [name for name in (EMAIL_FROM, SMTP_HOST) if not environment.get(name)]
    if missing:
        raise AlertsError(f"{EMAIL_TO} is set, but not {', '.join(missing)}")

    def send(subject: str, text: str) -> None:
        import smtplib
        import ssl
        from email.message import EmailMessage

        message = EmailMessage()
        message["Subject"], message["From"], message["To"] = subject, environment[EMAIL_FROM], to
        message.set_content(text)
        password = environment.get(SMTP_PASSWORD)
        port = int(environment.get(SMTP_PORT) or 587)
        with smtplib.SMTP(environment[SMTP_HOST], port, timeout=30) as server:
            server.ehlo()
            if password or server.has_extn("starttls"):
                server.starttls(context=ssl.create_default_context())
            if password:
                server.login(environment[EMAIL_FROM], password)
            server.send_message(message)

    return [send]
