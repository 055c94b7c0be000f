<?php

namespace Database\Seeders;

use Carbon\CarbonImmutable;
use Illuminate\Database\Seeder;
use Illuminate\Support\Facades\DB;
use Random\Engine\Mt19937;
use Random\Randomizer;

class OrderSeeder extends Seeder
{
    public const ORDERS = 10000;

    private const CHUNK = 1000;

    /** Status => the share of the orders up to and including it, in percent. */
    private const STATUSES = ['paid' => 58, 'shipped' => 88, 'pending' => 94, 'cancelled' => 98, 'refunded' => 100];

    public function run(): void
    {
        $random = new Randomizer(new Mt19937(20240916));
        $start = CarbonImmutable::parse('2023-07-01 06:00:00');
        $rows = [];

        for ($id = 1; $id <= self::ORDERS; $id++) {
            $placed = $start->addMinutes($id * 105 + $random->getInt(0, 3) * 30);

            $rows[] = [
                'id' => $id,
                'user_id' => $this->customer($random),
                'referrer_id' => $random->getInt(1, 100) <= 12 ? $random->getInt(1, 150) : null,
                'status' => $this->status($random->getInt(1, 100)),
                'total' => sprintf('%d.%02d', $random->getInt(5, 480), $random->getInt(0, 99)),
                'placed_at' => $placed,
                'created_at' => $placed,
                'updated_at' => $placed,
            ];

            if (count($rows) === self::CHUNK || $id === self::ORDERS) {
                DB::table('orders')->insert($rows);
                $rows = [];
            }
        }
    }

    /** One order in five is a regular customer's; one customer in twenty has never ordered. */
    private function customer(Randomizer $random): int
    {
        if ($random->getInt(1, 5) === 1) {
            return $random->getInt(1, 100);
        }

        return $random->getInt(1, (int) (UserSeeder::USERS * 0.95));
    }

    private function status(int $percent): string
    {
        foreach (self::STATUSES as $status => $upTo) {
            if ($percent <= $upTo) {
                return $status;
            }
        }

        return 'refunded';
    }
}
