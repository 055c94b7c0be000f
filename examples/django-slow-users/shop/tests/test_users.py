from django.test import TestCase, override_settings

from shop.models import Country
from shop.tests import make


@override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"])
class UserListTest(TestCase):
    def ids(self, path):
        answer = self.client.get(path)
        self.assertEqual(answer.status_code, 200)
        return [one["id"] for one in answer.json()["data"]]

    def test_a_user_is_found_by_email(self):
        for _ in range(3):
            make.user()
        anna = make.user(name="Anna Weber", email="anna@example.com")
        (found,) = self.client.get("/api/users?email=anna@example.com").json()["data"]
        self.assertEqual((found["id"], found["name"]), (anna.id, "Anna Weber"))
        self.assertNotIn("password", found)

    def test_all_accounts_of_a_shared_address_are_listed_in_order(self):
        ids = sorted(make.user(email="office@example.com").id for _ in range(60))
        make.user()
        self.assertEqual(self.ids("/api/users?email=office@example.com"), ids)

    def test_an_unknown_email_gives_an_empty_list(self):
        make.user()
        self.assertEqual(self.ids("/api/users?email=nobody@example.com"), [])

    def test_deleted_users_are_not_listed(self):
        make.user(email="gone@example.com", deleted_at=make.moment("2024-05-01"))
        self.assertEqual(self.ids("/api/users?email=gone@example.com"), [])

    def test_users_of_a_country_come_with_their_orders(self):
        Country.objects.create(code="AT", name="Austria")
        Country.objects.create(code="SE", name="Sweden")
        user = make.user(country_id="AT")
        make.user(country_id="SE")
        make.user()
        for day in range(1, 6):
            make.order(user, total=day, placed_at=make.moment(f"2024-05-0{day}"))
        (found,) = self.client.get("/api/users?country=AT").json()["data"]
        self.assertEqual((found["country"], found["orders_count"]), ("Austria", 5))
        self.assertEqual([one["total"] for one in found["latest_orders"]], ["5.00", "4.00", "3.00"])

    def test_the_list_has_pages_of_twenty_five(self):
        for _ in range(28):
            make.user()
        self.assertEqual(len(self.ids("/api/users")), 25)
        self.assertEqual(len(self.ids("/api/users?page=2")), 3)

    def test_a_country_has_two_letters(self):
        self.assertEqual(self.client.get("/api/users?country=Austria").status_code, 422)

    def test_one_user_is_shown(self):
        user = make.user()
        self.assertEqual(self.client.get(f"/api/users/{user.id}").json()["data"]["email"], user.email)
        self.assertEqual(self.client.get("/api/users/999999").status_code, 404)
