from django.core.management.base import BaseCommand, CommandError

from shop.models import User


class Command(BaseCommand):
    help = "One customer with country and number of orders"

    def add_arguments(self, parser):
        parser.add_argument("id", type=int, help="The customer number")

    def handle(self, *args, **options):
        found = User.everyone.select_related("country").filter(pk=options["id"]).first()
        if found is None:
            raise CommandError(f"There is no customer {options['id']}.")
        for field, value in (
            ("id", found.id),
            ("name", found.name),
            ("email", found.email),
            ("country", found.country.name if found.country else "-"),
            ("status", "deleted" if found.deleted_at else found.status),
            ("orders", found.orders.count()),
        ):
            self.stdout.write(f"{field:<10}{value}")
