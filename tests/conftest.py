pytest_plugins = ["tenancy.testing", "users.testing", "catalog.testing"]
