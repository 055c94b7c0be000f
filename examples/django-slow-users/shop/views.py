import json

from django.contrib.auth import authenticate, login, logout
from django.db import connection
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from shop import answers
from shop.access import login_needed
from shop.models import Country, Order, User

PAGE = 25
LATEST = 50


@require_GET
def health(request):
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchone()
    return answers.data("ok")


@require_GET
def countries(request):
    return answers.data([answers.country(one) for one in Country.objects.order_by("code")])


@require_GET
def users(request):
    email = request.GET.get("email")
    if email:
        found = User.objects.filter(email=email).order_by("id")
        return answers.data([answers.user(one) for one in found])

    customers = User.objects.order_by("id")
    country = request.GET.get("country")
    if country:
        if len(country) != 2:
            return answers.refusal(422, "A country has two letters.", field="country")
        customers = customers.filter(country_id=country)
    page = max(1, int(request.GET.get("page", "1")))
    found = list(customers[(page - 1) * PAGE : page * PAGE + 1])
    return answers.data([answers.customer(one) for one in found[:PAGE]], page=page, more=len(found) > PAGE)


@require_GET
def user(request, pk):
    return answers.data(answers.user(get_object_or_404(User, pk=pk)))


@require_GET
def latest_orders(request):
    status = request.GET.get("status")
    if status not in Order.Status.values:
        return answers.refusal(422, "Not a status of an order.", field="status")
    found = Order.objects.filter(status=status).select_related("user").order_by("-placed_at", "-id")[:LATEST]
    return answers.data([{**answers.order(one), "customer": answers.user(one.user)} for one in found])


@csrf_exempt
@require_POST
def log_in(request):
    sent = json.loads(request.body or b"{}")
    found = authenticate(request, username=sent.get("customer_number"), password=sent.get("password"))
    if found is None:
        return answers.refusal(422, "Number and password do not belong together.")
    login(request, found)
    return answers.data(answers.user(found))


@csrf_exempt
@require_POST
@login_needed
def log_out(request):
    logout(request)
    return HttpResponse(status=204)


@require_GET
@login_needed
def account(request):
    return answers.data(answers.user(request.user))


@require_GET
@login_needed
def account_orders(request):
    found = request.user.orders.order_by("-placed_at", "-id")[:LATEST]
    return answers.data([answers.order(one) for one in found])


@require_GET
@login_needed
def account_referrals(request):
    referred = Order.objects.filter(referrer_id=request.user.id)
    found = referred.order_by("-placed_at", "-id")[:LATEST]
    return answers.data([answers.order(one) for one in found], orders=referred.count())
