"""Customers and orders for tests."""

from datetime import datetime, timezone
from itertools import count

from shop.models import Order, User

_numbers = count(1)


def user(**fields):
    number = next(_numbers)
    made = User(**{"name": f"Customer {number}", "email": f"customer{number}@example.com", **fields})
    made.set_password("password")
    made.save()
    return made


def order(user, **fields):
    placed = fields.pop("placed_at", datetime(2024, 5, 1, 9, tzinfo=timezone.utc))
    return Order.objects.create(user=user, placed_at=placed, **{"total": "10.00", **fields})


def moment(text):
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)
