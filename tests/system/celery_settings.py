"""The project's settings, and an app with a report and tasks for these tests. Databases: the environment."""

from project.settings import *  # noqa: F403
from project.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.system.workload"]
