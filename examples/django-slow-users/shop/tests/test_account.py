from django.test import TestCase, override_settings

from shop.tests import make


@override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"])
class AccountTest(TestCase):
    def log_in(self, number, password):
        sent = {"customer_number": number, "password": password}
        return self.client.post("/api/login", sent, content_type="application/json")

    def test_a_stranger_is_refused(self):
        for path in ("/api/account", "/api/account/orders", "/api/account/referrals"):
            answer = self.client.get(path)
            self.assertEqual((answer.status_code, answer.json()), (401, {"message": "Unauthenticated."}))

    def test_a_customer_logs_in_with_number_and_password(self):
        user = make.user()
        self.assertEqual(self.log_in(user.id, "password").json()["data"]["id"], user.id)
        self.assertEqual(self.client.get("/api/account").json()["data"]["email"], user.email)
        self.assertEqual(self.client.post("/api/logout").status_code, 204)
        self.assertEqual(self.client.get("/api/account").status_code, 401)

    def test_a_wrong_password_or_a_blocked_account_is_refused(self):
        self.assertEqual(self.log_in(make.user().id, "wrong").status_code, 422)
        self.assertEqual(self.log_in(make.user(status="blocked").id, "password").status_code, 422)

    def test_a_customer_sees_own_orders_only(self):
        user = make.user()
        own = make.order(user)
        make.order(make.user())
        self.client.force_login(user)
        self.assertEqual(
            [one["id"] for one in self.client.get("/api/account/orders").json()["data"]], [own.id]
        )

    def test_referrals_are_the_orders_that_name_the_customer(self):
        user, other = make.user(), make.user()
        first = make.order(other, referrer_id=user.id, placed_at=make.moment("2024-05-01"))
        second = make.order(other, referrer_id=user.id, placed_at=make.moment("2024-05-02"))
        make.order(user)
        self.client.force_login(user)
        answer = self.client.get("/api/account/referrals").json()
        self.assertEqual([one["id"] for one in answer["data"]], [second.id, first.id])
        self.assertEqual(answer["orders"], 2)
