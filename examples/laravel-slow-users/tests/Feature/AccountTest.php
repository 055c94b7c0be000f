<?php

namespace Tests\Feature;

use App\Models\Order;
use App\Models\User;
use Illuminate\Foundation\Testing\RefreshDatabase;
use Tests\TestCase;

class AccountTest extends TestCase
{
    use RefreshDatabase;

    public function test_a_stranger_is_refused(): void
    {
        foreach (['/api/account', '/api/account/orders', '/api/account/referrals'] as $path) {
            $this->get($path)->assertUnauthorized()->assertExactJson(['message' => 'Unauthenticated.']);
        }
    }

    public function test_a_customer_logs_in_with_number_and_password(): void
    {
        $user = User::factory()->create();

        $this->postJson('/api/login', ['customer_number' => $user->id, 'password' => 'password'])
            ->assertOk()
            ->assertJsonPath('data.id', $user->id);
        $this->assertAuthenticatedAs($user);
        $this->getJson('/api/account')->assertOk()->assertJsonPath('data.email', $user->email);

        $this->postJson('/api/logout')->assertNoContent();
        $this->assertGuest();
    }

    public function test_a_wrong_password_or_a_blocked_account_is_refused(): void
    {
        $user = User::factory()->create();
        $blocked = User::factory()->create(['status' => 'blocked']);

        $this->postJson('/api/login', ['customer_number' => $user->id, 'password' => 'wrong'])->assertUnprocessable();
        $this->postJson('/api/login', ['customer_number' => $blocked->id, 'password' => 'password'])->assertUnprocessable();
        $this->assertGuest();
    }

    public function test_a_customer_sees_own_orders_only(): void
    {
        $user = User::factory()->create();
        $own = Order::factory()->for($user)->create();
        Order::factory()->create();

        $this->actingAs($user)->getJson('/api/account/orders')
            ->assertOk()
            ->assertJsonPath('data.*.id', [$own->id]);
    }

    public function test_referrals_are_the_orders_that_name_the_customer(): void
    {
        $user = User::factory()->create();
        $first = Order::factory()->create(['referrer_id' => $user->id, 'placed_at' => '2024-05-01 09:00:00']);
        $second = Order::factory()->create(['referrer_id' => $user->id, 'placed_at' => '2024-05-02 09:00:00']);
        Order::factory()->for($user)->create();

        $this->actingAs($user)->getJson('/api/account/referrals')
            ->assertOk()
            ->assertJsonPath('data.*.id', [$second->id, $first->id])
            ->assertJsonPath('meta.orders', 2);
    }
}
