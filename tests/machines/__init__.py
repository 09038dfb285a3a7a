"""State machines that run the real code of money, jobs and promotion on counterparts of services.

`docs/explanation/machines.md` says what they hold and how to add to them.
"""
