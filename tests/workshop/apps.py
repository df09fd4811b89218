from django.apps import AppConfig


class WorkshopConfig(AppConfig):
    """A tenant app of the tests' own, with every kind of relation and manager that an app may have."""

    name = "tests.workshop"
    label = "workshop"
