<?php

namespace Tests\Feature;

use App\Models\Order;
use App\Models\User;
use Illuminate\Foundation\Testing\RefreshDatabase;
use Tests\TestCase;

class OrderReportTest extends TestCase
{
    use RefreshDatabase;

    public function test_the_latest_orders_of_a_status_come_newest_first(): void
    {
        $user = User::factory()->create();
        $old = Order::factory()->for($user)->create(['status' => 'pending', 'placed_at' => '2024-01-01 10:00:00']);
        $new = Order::factory()->for($user)->create(['status' => 'pending', 'placed_at' => '2024-03-01 10:00:00']);
        $tie = Order::factory()->for($user)->create(['status' => 'pending', 'placed_at' => '2024-03-01 10:00:00']);
        Order::factory()->for($user)->create(['status' => 'paid', 'placed_at' => '2024-04-01 10:00:00']);

        $this->getJson('/api/reports/latest-orders?status=pending')
            ->assertOk()
            ->assertJsonPath('data.*.id', [$tie->id, $new->id, $old->id])
            ->assertJsonPath('data.0.customer.id', $user->id);
    }

    public function test_a_known_status_is_required(): void
    {
        $this->getJson('/api/reports/latest-orders')->assertUnprocessable();
        $this->getJson('/api/reports/latest-orders?status=lost')->assertUnprocessable();
    }

    public function test_the_daily_report_sums_one_day_by_status(): void
    {
        $user = User::factory()->create();
        Order::factory()->for($user)->create(['status' => 'paid', 'total' => '10.50', 'placed_at' => '2024-05-01 00:00:00']);
        Order::factory()->for($user)->create(['status' => 'paid', 'total' => '1.25', 'placed_at' => '2024-05-01 23:59:59']);
        Order::factory()->for($user)->create(['status' => 'paid', 'total' => '99.00', 'placed_at' => '2024-05-02 00:00:00']);

        $this->artisan('report:daily', ['--date' => '2024-05-01'])
            ->expectsTable(['Status', 'Orders', 'Value'], [['paid', 2, '11.75']])
            ->assertSuccessful();
    }
}
