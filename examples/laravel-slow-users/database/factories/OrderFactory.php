<?php

namespace Database\Factories;

use App\Models\Order;
use App\Models\User;
use Illuminate\Database\Eloquent\Factories\Factory;

/** @extends Factory<Order> */
class OrderFactory extends Factory
{
    protected $model = Order::class;

    public function definition(): array
    {
        return [
            'user_id' => User::factory(),
            'referrer_id' => null,
            'status' => 'paid',
            'total' => fake()->randomFloat(2, 5, 500),
            'placed_at' => fake()->dateTimeBetween('-1 year'),
        ];
    }
}
