# mypy: ignore-errors
"""Every request is served as one row of a table (BEDEV_AS_USER, `TABLE:ID`), as by `force_login` in tests."""

import os

from django.apps import apps
from django.conf import settings
from django.http import HttpResponse


class AsUser:
    def __init__(self, get_response):
        self.get_response = get_response
        self.table, _, self.key = os.environ["BEDEV_AS_USER"].partition(":")
        self.models = [m for m in apps.get_models() if m._meta.db_table == self.table and not m._meta.proxy]

    def __call__(self, request):
        if not self.models:
            return refused(f"No model has the table `{self.table}`.")
        model = self.models[0]
        if not hasattr(model, "is_authenticated"):
            return refused(f"The model of `{self.table}` is no user: it has no is_authenticated.")
        try:
            user = model._default_manager.get(pk=self.key)
        except (model.DoesNotExist, ValueError):
            return refused(f"There is no user with id {self.key} in `{self.table}`.")
        user.backend = settings.AUTHENTICATION_BACKENDS[0]
        request.user = request._cached_user = user
        request._force_auth_user = user  # Django REST framework takes it for every authentication class
        request._dont_enforce_csrf_checks = True

        async def auser():
            return user

        request.auser = auser
        return self.get_response(request)


def refused(reason):
    answer = HttpResponse(status=500)
    answer["X-Bedev-Error"] = "--as: " + reason
    return answer
