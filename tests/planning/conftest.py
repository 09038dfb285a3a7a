"""The use case of the budget's tests."""

from tests.budget.conftest import use_case as use_case
