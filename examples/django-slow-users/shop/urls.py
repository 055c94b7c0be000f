from django.urls import path

from shop import views

urlpatterns = [
    path("health", views.health),
    path("countries", views.countries),
    path("users", views.users),
    path("users/<int:pk>", views.user),
    path("reports/latest-orders", views.latest_orders),
    path("login", views.log_in),
    path("logout", views.log_out),
    path("account", views.account),
    path("account/orders", views.account_orders),
    path("account/referrals", views.account_referrals),
]
