"""The swarm: many clients, real servers, and an oracle that knows what each of them may see.

``python -m tests.swarm`` starts a PostgreSQL, twelve tenants and a server, lets sixteen clients loose on
them, and afterwards compares every database with what was acknowledged.
"""
