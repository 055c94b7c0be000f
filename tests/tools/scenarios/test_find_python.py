"""Routes, handlers and models as Python frameworks write them."""

from __future__ import annotations

from bedev.sandboxes.engines.engine import Column, Index, Schema, Table
from bedev.sandboxes.stacks.stack import Route
from bedev.tools.scenarios.find import candidates
from bedev.tools.scenarios.source_reads import SourceIndex

MODELS = """
from django.db import models


class Customer(models.Model):
    email = models.EmailField()

    def total(self):
        return 0


class Purchase(models.Model):
    state = models.CharField(max_length=9)

    class Meta:
        db_table = "purchases"
"""
VIEWS = """
from .models import Customer, Purchase


class Purchases(View):
    def get(self, request):
        return answer(Purchase.objects.filter(state=request.GET.get("state")))


class Customers(View):
    def get(self, request):
        return answer(Customer.objects.filter(email=request.GET["email"]))
"""
SOURCES = {"shop/models.py": MODELS, "shop/views.py": VIEWS}


def table(name: str, *columns: str) -> Table:
    made = [Column("id", "bigint", "bigint", False)]
    made += [Column(c, "varchar(99)", "varchar", False) for c in columns]
    return Table(name, tuple(made), (Index("PRIMARY", ("id",), True, True),), ())


SCHEMA = Schema((table("shop_customer", "email"), table("purchases", "state")))


def asked(path: str, handler: str) -> tuple[str, ...]:
    route = Route("GET", path, handler, source="shop/views.py")
    return tuple(c.question.text for c in candidates("slow", [route], [], SOURCES, SCHEMA))


def test_a_slash_at_the_end_of_a_path_stays() -> None:
    assert asked("api/customers/", "shop.views.Customers@get")[0] == (
        "GET /api/customers/?email={shop_customer.email}"
    )
    assert asked("api/customers", "shop.views.Customers@get")[0] == (
        "GET /api/customers?email={shop_customer.email}"
    )


def test_a_method_is_looked_for_in_its_own_class() -> None:
    assert asked("all", "shop.views.Purchases@get")[0] == "GET /all?state={purchases.state}"


def test_models_know_their_tables_by_their_own_word_or_by_the_folder_s_name() -> None:
    index = SourceIndex(SOURCES, SCHEMA)
    assert index.table_of("Purchase") == "purchases"
    assert index.table_of("Customer") == "shop_customer"
    assert index.table_of("customers") == "shop_customer"
    assert index.table_of("View") is None
