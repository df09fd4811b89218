import os

pytest_plugins = ["tenancy.testing", "users.testing", "catalog.testing"]

# Minutes, and servers of its own: asked for by name (``make test-swarm``, which CI runs).
collect_ignore = [] if "SWARM_REQUESTS" in os.environ else ["swarm"]
