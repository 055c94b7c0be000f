from datetime import date
from io import StringIO

from django.core.management import call_command
from django.test import TestCase, override_settings

from shop.tests import make


@override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"])
class OrderReportTest(TestCase):
    def test_the_latest_orders_of_a_status_come_newest_first(self):
        user = make.user()
        old = make.order(user, placed_at=make.moment("2024-01-01"))
        new = make.order(user, placed_at=make.moment("2024-03-01"))
        tie = make.order(user, placed_at=make.moment("2024-03-01"))
        make.order(user, status="paid", placed_at=make.moment("2024-04-01"))
        found = self.client.get("/api/reports/latest-orders?status=pending").json()["data"]
        self.assertEqual([one["id"] for one in found], [tie.id, new.id, old.id])
        self.assertEqual(found[0]["customer"]["id"], user.id)

    def test_a_known_status_is_required(self):
        self.assertEqual(self.client.get("/api/reports/latest-orders").status_code, 422)
        self.assertEqual(self.client.get("/api/reports/latest-orders?status=lost").status_code, 422)

    def test_the_daily_report_sums_one_day_by_status(self):
        user = make.user()
        make.order(user, status="paid", total="10.50", placed_at=make.moment("2024-05-01T00:00:00"))
        make.order(user, status="paid", total="1.25", placed_at=make.moment("2024-05-01T23:59:59"))
        make.order(user, status="paid", total="99.00", placed_at=make.moment("2024-05-02T00:00:00"))
        out = StringIO()
        call_command("report_daily", date=date(2024, 5, 1), stdout=out)
        self.assertEqual(out.getvalue().split(), ["Orders", "of", "2024-05-01", "paid", "2", "11.75"])
