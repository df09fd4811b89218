import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

application = get_asgi_application()

from users.keys import key_ring  # noqa: E402  # needs settings

key_ring()  # a server without a signing key does not start, rather than fail at the first sign-in
