import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

application = get_wsgi_application()

from users.keys import key_ring  # noqa: E402  # needs settings

key_ring()  # a server without a signing key does not start, rather than fail at the first sign-in
