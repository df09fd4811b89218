from django.contrib import admin
from django.urls import include, path, re_path
from django.views.decorators.csrf import csrf_exempt
from django.views.generic import RedirectView

from tenancy import views as tenancy_views
from tenancy.rest import errors
from tenancy.rest.docs import DocsView, SchemaView
from users import pages
from users.api.keys import KeySetView
from users.pages import AccountPage

urlpatterns = [
    # First what is asked most: Django tries one pattern after the other.
    path("api/", include("catalog.urls")),
    path("api/", include("users.urls")),
    # Without CSRF checks: those guard the admin's forms, and answer in HTML.
    path("livez", csrf_exempt(tenancy_views.livez), name="livez"),
    path("readyz", csrf_exempt(tenancy_views.readyz), name="readyz"),
    path(".well-known/jwks.json", KeySetView.as_view(), name="jwks"),
    path("", csrf_exempt(RedirectView.as_view(pattern_name="docs")), name="home"),
    path("account/password/", AccountPage.as_view(extra_context=pages.PASSWORD), name="account-password"),
    path(
        "account/invitation/", AccountPage.as_view(extra_context=pages.INVITATION), name="account-invitation"
    ),
    path("admin", csrf_exempt(RedirectView.as_view(pattern_name="admin:index"))),
    path("admin/", admin.site.urls),
    path("api/schema/", SchemaView.as_view(), name="schema"),
    path("api/docs/", DocsView.as_view(url_name="schema"), name="docs"),
    # Last: with DEBUG on, Django answers a path that nothing matches with a page that lists all patterns.
    re_path(r"", csrf_exempt(errors.not_found)),
]

handler400 = errors.bad_request
handler403 = errors.permission_denied
handler404 = errors.not_found
handler500 = errors.server_error
