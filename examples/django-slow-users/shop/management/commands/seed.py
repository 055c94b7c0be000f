from datetime import datetime, timedelta, timezone
from decimal import Decimal
from random import Random

from django.contrib.auth.hashers import make_password
from django.core.management.base import BaseCommand
from django.db import transaction

from shop.models import Country, Order, User

USERS = 2_000
ORDERS = 10_000

COUNTRIES = {
    "DE": "Germany", "FR": "France", "US": "United States", "GB": "United Kingdom", "ES": "Spain",
    "IT": "Italy", "NL": "Netherlands", "PL": "Poland", "SE": "Sweden", "AT": "Austria",
    "CH": "Switzerland", "BE": "Belgium", "DK": "Denmark", "NO": "Norway", "FI": "Finland",
    "PT": "Portugal", "IE": "Ireland", "CZ": "Czechia", "SK": "Slovakia", "HU": "Hungary",
    "RO": "Romania", "BG": "Bulgaria", "GR": "Greece", "HR": "Croatia", "SI": "Slovenia",
    "EE": "Estonia", "LV": "Latvia", "LT": "Lithuania", "LU": "Luxembourg", "MT": "Malta",
    "CY": "Cyprus", "IS": "Iceland", "CA": "Canada", "AU": "Australia", "NZ": "New Zealand",
    "JP": "Japan", "BR": "Brazil", "MX": "Mexico", "CI": "Côte d'Ivoire", "TR": "Türkiye",
}  # fmt: skip
FIRST_NAMES = (
    "Anna Ben Carla David Elif Finn Greta Hugo Inés Jan Karin Luca Mia Noah Olga Pavel Rosa Sam".split()
)
LAST_NAMES = (
    "Andersen Bauer Costa Dubois Evans Fischer García Horvat Jansen Müller O'Brien Rossi Weber".split()
)
PLAIN = str.maketrans("éíüá", "eiua", "'")

# Companies whose staff order under one address, and how many they are.
SHARED = {
    "purchasing@northwind.example": 120,
    "office@harbour-supplies.example": 70,
    "orders@alpine.example": 12,
}

# A status, and the share of the orders up to and including it, in percent.
STATUSES = {"paid": 58, "shipped": 88, "pending": 94, "cancelled": 98, "refunded": 100}


class Command(BaseCommand):
    help = "Fills an empty shop: 40 countries, 2,000 users and 10,000 orders, the same ones every time"

    @transaction.atomic
    def handle(self, *args, **options):
        Country.objects.bulk_create(Country(code=code, name=name) for code, name in COUNTRIES.items())
        User.everyone.bulk_create(users(), batch_size=500)
        Order.objects.bulk_create(orders(), batch_size=1000)
        self.stdout.write(f"{len(COUNTRIES)} countries, {USERS} users, {ORDERS} orders")


def users():
    random = Random(20240301)
    password = make_password("password", salt="everybody-has-the-same")
    start = datetime(2023, 1, 1, 8, tzinfo=timezone.utc)
    addresses = shared_addresses()
    codes = list(COUNTRIES)
    for number in range(1, USERS + 1):
        first, last = random.choice(FIRST_NAMES), random.choice(LAST_NAMES)
        own = f"{first}.{last}{number}@example.{('com', 'org', 'net')[number % 3]}".lower().translate(PLAIN)
        created = start + timedelta(minutes=number * 600 + random.randrange(600))
        # The small numbers are the frequent ones.
        country = min(random.randrange(len(codes)) for _ in range(3))
        share = random.randrange(100)
        yield User(
            id=number,
            name=f"{first} {last}",
            email=addresses.get(number, own),
            password=password,
            country_id=None if random.randrange(100) < 6 else codes[country],
            status="active" if number <= 10 or share < 85 else "unconfirmed" if share < 95 else "blocked",
            created_at=created,
            deleted_at=created + timedelta(days=30) if number > 10 and random.randrange(100) < 3 else None,
        )


def shared_addresses():
    numbers = iter(range(27, USERS, 7))
    return {next(numbers): address for address, accounts in SHARED.items() for _ in range(accounts)}


def orders():
    random = Random(20240916)
    start = datetime(2023, 7, 1, 6, tzinfo=timezone.utc)
    for number in range(1, ORDERS + 1):
        # One order in five is a regular customer's; one customer in twenty has never ordered.
        regular = random.randrange(5) == 0
        share = random.randrange(100)
        yield Order(
            id=number,
            user_id=random.randint(1, 100 if regular else USERS * 95 // 100),
            referrer_id=random.randint(1, 150) if random.randrange(100) < 12 else None,
            status=next(status for status, up_to in STATUSES.items() if share < up_to),
            total=Decimal(random.randint(500, 48099)) / 100,
            placed_at=start + timedelta(minutes=number * 105 + random.randrange(4) * 30),
        )
