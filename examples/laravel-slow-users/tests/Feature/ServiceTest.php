<?php

namespace Tests\Feature;

use App\Models\Country;
use Database\Seeders\DatabaseSeeder;
use Illuminate\Foundation\Testing\RefreshDatabase;
use Tests\TestCase;

class ServiceTest extends TestCase
{
    use RefreshDatabase;

    public function test_health(): void
    {
        $this->getJson('/api/health')->assertOk()->assertExactJson(['status' => 'ok']);
    }

    public function test_countries_are_sorted_by_code(): void
    {
        Country::factory()->create(['code' => 'SE', 'name' => 'Sweden']);
        Country::factory()->create(['code' => 'AT', 'name' => 'Austria']);

        $this->getJson('/api/countries')
            ->assertOk()
            ->assertExactJson(['data' => [
                ['code' => 'AT', 'name' => 'Austria'],
                ['code' => 'SE', 'name' => 'Sweden'],
            ]]);
    }

    public function test_the_seeder_fills_the_shop(): void
    {
        $this->seed(DatabaseSeeder::class);

        $this->assertDatabaseCount('countries', 40);
        $this->assertDatabaseCount('users', 2000);
        $this->assertDatabaseCount('orders', 10000);
    }
}
