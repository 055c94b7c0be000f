from io import StringIO

from django.core.management import call_command
from django.test import TestCase

from shop.models import Country, Order, User


class ServiceTest(TestCase):
    def test_health(self):
        self.assertEqual(self.client.get("/api/health").json(), {"data": "ok"})

    def test_countries_are_sorted_by_code(self):
        Country.objects.create(code="SE", name="Sweden")
        Country.objects.create(code="AT", name="Austria")
        answer = self.client.get("/api/countries").json()
        self.assertEqual([one["code"] for one in answer["data"]], ["AT", "SE"])

    def test_the_seed_fills_the_shop(self):
        call_command("seed", stdout=StringIO())
        self.assertEqual(Country.objects.count(), 40)
        self.assertEqual(User.everyone.count(), 2000)
        self.assertEqual(Order.objects.count(), 10000)

    def test_every_model_has_its_migration(self):
        call_command("makemigrations", check=True, dry_run=True, verbosity=0)
