from django.urls import path

from users.api import api_keys, audit, invitations, me, members, passwords, sessions, tokens

urlpatterns = [
    path("token/", tokens.SignInView.as_view(), name="token"),
    path("token/refresh/", tokens.RefreshView.as_view(), name="token-refresh"),
    path("token/switch/", tokens.SwitchView.as_view(), name="token-switch"),
    path("token/revoke/", tokens.RevokeView.as_view(), name="token-revoke"),
    path("me/", me.MeView.as_view(), name="me"),
    path("me/tenants/", me.MyTenantsView.as_view(), name="my-tenants"),
    path("me/password/", passwords.ChangePasswordView.as_view(), name="change-password"),
    path("me/sessions/", sessions.SessionsView.as_view(), name="sessions"),
    path("me/sessions/<uuid:id>/", sessions.SessionView.as_view(), name="session"),
    path("password/reset/", passwords.AskForResetView.as_view(), name="ask-for-reset"),
    path("password/reset/confirm/", passwords.ResetPasswordView.as_view(), name="reset-password"),
    path("audit/", audit.EventsView.as_view(), name="audit"),
    path("keys/", api_keys.ApiKeysView.as_view(), name="api-keys"),
    path("keys/<uuid:id>/", api_keys.ApiKeyView.as_view(), name="api-key"),
    path("members/", members.MembersView.as_view(), name="members"),
    path("members/<uuid:id>/", members.MemberView.as_view(), name="member"),
    path("invitations/", invitations.InvitationsView.as_view(), name="invitations"),
    path("invitations/accept/", invitations.AcceptView.as_view(), name="accept-invitation"),
    path("invitations/<uuid:id>/", invitations.InvitationView.as_view(), name="invitation"),
]
