from django.urls import path

from users.api import me, sessions, tokens

urlpatterns = [
    path("token/", tokens.SignInView.as_view(), name="token"),
    path("token/refresh/", tokens.RefreshView.as_view(), name="token-refresh"),
    path("token/switch/", tokens.SwitchView.as_view(), name="token-switch"),
    path("token/revoke/", tokens.RevokeView.as_view(), name="token-revoke"),
    path("me/", me.MeView.as_view(), name="me"),
    path("me/tenants/", me.MyTenantsView.as_view(), name="my-tenants"),
    path("me/sessions/", sessions.SessionsView.as_view(), name="sessions"),
    path("me/sessions/<uuid:id>/", sessions.SessionView.as_view(), name="session"),
]
