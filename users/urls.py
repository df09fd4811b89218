from django.urls import path

from users import views

urlpatterns = [
    path("token/", views.SignInView.as_view(), name="token"),
    path("token/refresh/", views.RefreshView.as_view(), name="token-refresh"),
    path("token/switch/", views.SwitchView.as_view(), name="token-switch"),
    path("token/revoke/", views.RevokeView.as_view(), name="token-revoke"),
    path("me/", views.MeView.as_view(), name="me"),
    path("me/tenants/", views.MyTenantsView.as_view(), name="my-tenants"),
]
