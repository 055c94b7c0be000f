<?php

namespace Tests\Feature;

use App\Models\Country;
use App\Models\Order;
use App\Models\User;
use Illuminate\Foundation\Testing\RefreshDatabase;
use Tests\TestCase;

class UserListTest extends TestCase
{
    use RefreshDatabase;

    public function test_a_user_is_found_by_email(): void
    {
        User::factory()->count(3)->create();
        $anna = User::factory()->create(['name' => 'Anna Weber', 'email' => 'anna@example.com']);

        $this->getJson('/api/users?email=anna@example.com')
            ->assertOk()
            ->assertJsonCount(1, 'data')
            ->assertJsonPath('data.0.id', $anna->id)
            ->assertJsonPath('data.0.name', 'Anna Weber')
            ->assertJsonMissingPath('data.0.password');
    }

    public function test_all_accounts_of_a_shared_address_are_listed_in_order(): void
    {
        $ids = User::factory()->count(60)->create(['email' => 'office@example.com'])->pluck('id')->sort()->values();
        User::factory()->count(2)->create();

        $answer = $this->getJson('/api/users?email=office@example.com')->assertOk();

        $this->assertSame($ids->all(), $answer->json('data.*.id'));
    }

    public function test_an_unknown_email_gives_an_empty_list(): void
    {
        User::factory()->create();

        $this->getJson('/api/users?email=nobody@example.com')->assertOk()->assertExactJson(['data' => []]);
    }

    public function test_deleted_users_are_not_listed(): void
    {
        User::factory()->create(['email' => 'gone@example.com'])->delete();

        $this->getJson('/api/users?email=gone@example.com')->assertOk()->assertJsonCount(0, 'data');
    }

    public function test_users_of_a_country_come_with_their_orders(): void
    {
        Country::factory()->create(['code' => 'AT', 'name' => 'Austria']);
        Country::factory()->create(['code' => 'SE', 'name' => 'Sweden']);
        $user = User::factory()->create(['country_code' => 'AT']);
        User::factory()->create(['country_code' => 'SE']);
        User::factory()->create(['country_code' => null]);
        foreach (range(1, 5) as $day) {
            Order::factory()->for($user)->create(['placed_at' => "2024-05-0{$day} 12:00:00", 'total' => $day]);
        }

        $this->getJson('/api/users?country=AT')
            ->assertOk()
            ->assertJsonCount(1, 'data')
            ->assertJsonPath('data.0.country', 'Austria')
            ->assertJsonPath('data.0.orders_count', 5)
            ->assertJsonPath('data.0.latest_orders.*.total', ['5.00', '4.00', '3.00']);
    }

    public function test_the_list_has_pages_of_twenty_five(): void
    {
        User::factory()->count(28)->create();

        $this->getJson('/api/users')->assertOk()->assertJsonCount(25, 'data');
        $this->getJson('/api/users?page=2')->assertOk()->assertJsonCount(3, 'data');
    }

    public function test_a_country_has_two_letters(): void
    {
        $this->getJson('/api/users?country=Austria')->assertUnprocessable()->assertJsonValidationErrors('country');
    }

    public function test_one_user_is_shown(): void
    {
        $user = User::factory()->create();

        $this->getJson("/api/users/{$user->id}")->assertOk()->assertJsonPath('data.email', $user->email);
        $this->getJson('/api/users/999999')->assertNotFound();
    }
}
