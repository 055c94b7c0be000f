from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.db import models
from django.utils import timezone


class Country(models.Model):
    code = models.CharField(max_length=2, primary_key=True)
    name = models.CharField(max_length=100)

    class Meta:
        db_table = "countries"

    def __str__(self):
        return self.name


class CustomerManager(BaseUserManager):
    """Deleted customers are kept for the books and shown to nobody."""

    def get_queryset(self):
        return super().get_queryset().filter(deleted_at=None)


class User(AbstractBaseUser):
    """A customer. A company's staff may share one address, so customers log in with their number."""

    class Status(models.TextChoices):
        ACTIVE = "active"
        UNCONFIRMED = "unconfirmed"
        BLOCKED = "blocked"

    name = models.CharField(max_length=255)
    email = models.CharField(max_length=255)
    country = models.ForeignKey(
        Country, models.PROTECT, null=True, related_name="users", db_column="country_code"
    )
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.ACTIVE)
    created_at = models.DateTimeField(default=timezone.now)
    deleted_at = models.DateTimeField(null=True)

    objects = CustomerManager()
    everyone = models.Manager()

    USERNAME_FIELD = "id"

    class Meta:
        db_table = "users"

    def __str__(self):
        return self.name

    @property
    def is_active(self):
        return self.status != self.Status.BLOCKED


class Order(models.Model):
    class Status(models.TextChoices):
        PENDING = "pending"
        PAID = "paid"
        SHIPPED = "shipped"
        CANCELLED = "cancelled"
        REFUNDED = "refunded"

    user = models.ForeignKey(User, models.PROTECT, related_name="orders")
    referrer_id = models.BigIntegerField(null=True)
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.PENDING)
    total = models.DecimalField(max_digits=10, decimal_places=2)
    placed_at = models.DateTimeField()

    class Meta:
        db_table = "orders"

    def __str__(self):
        return f"Order {self.pk}"
