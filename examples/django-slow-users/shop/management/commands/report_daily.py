from datetime import date, datetime, time, timedelta, timezone

from django.core.management.base import BaseCommand
from django.db.models import Count, Max, Sum

from shop.models import Order


class Command(BaseCommand):
    help = "Number and value of the orders of one day, by status"

    def add_arguments(self, parser):
        parser.add_argument(
            "--date",
            type=date.fromisoformat,
            help="The day (YYYY-MM-DD); by default the last one with orders",
        )

    def handle(self, *args, **options):
        last = options["date"] or Order.objects.aggregate(last=Max("placed_at"))["last"]
        if last is None:
            self.stdout.write("There are no orders yet.")
            return
        day = last.date() if isinstance(last, datetime) else last
        start = datetime.combine(day, time(), timezone.utc)
        rows = (
            Order.objects.filter(placed_at__gte=start, placed_at__lt=start + timedelta(days=1))
            .values("status")
            .annotate(orders=Count("id"), value=Sum("total"))
            .order_by("status")
        )
        self.stdout.write(f"Orders of {day}")
        for row in rows:
            self.stdout.write(f"{row['status']:<12}{row['orders']:>8}{row['value']:>14.2f}")
