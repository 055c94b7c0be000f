from functools import wraps

from shop import answers


def login_needed(view):
    """Strangers get a 401 of the API's own, no page to log in at."""

    @wraps(view)
    def guarded(request, *args, **kwargs):
        if not request.user.is_authenticated:
            return answers.refusal(401, "Unauthenticated.")
        return view(request, *args, **kwargs)

    return guarded
