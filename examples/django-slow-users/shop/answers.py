"""What the API says of a customer, an order and a country."""

from django.http import JsonResponse


def data(found, **more):
    return JsonResponse({"data": found, **more})


def refusal(status, message, **more):
    return JsonResponse({"message": message, **more}, status=status)


def country(found):
    return {"code": found.code, "name": found.name}


def user(found):
    return {
        "id": found.id,
        "name": found.name,
        "email": found.email,
        "country_code": found.country_id,
        "status": found.status,
        "created_at": found.created_at,
    }


def customer(found):
    latest = found.orders.order_by("-placed_at", "-id")[:3]
    return {
        "id": found.id,
        "name": found.name,
        "email": found.email,
        "status": found.status,
        "country": found.country.name if found.country else None,
        "orders_count": found.orders.count(),
        "latest_orders": [order(one) for one in latest],
    }


def order(found):
    return {
        "id": found.id,
        "status": found.status,
        "total": found.total,
        "placed_at": found.placed_at,
    }
