"""Now `genaiops_dagster.serving.watching.feedback`; this path goes in the next release."""

from genaiops_dagster.serving.watching.feedback import (
    FEEDBACK,
    RATED_REQUESTS,
    Feedback,
    FeedbackError,
    ensure_rated_requests,
    give_feedback,
    inbox_row,
)

__all__ = [
    "FEEDBACK",
    "RATED_REQUESTS",
    "Feedback",
    "FeedbackError",
    "ensure_rated_requests",
    "give_feedback",
    "inbox_row",
]
