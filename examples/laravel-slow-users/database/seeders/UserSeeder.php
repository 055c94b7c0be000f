<?php

namespace Database\Seeders;

use Carbon\CarbonImmutable;
use Illuminate\Database\Seeder;
use Illuminate\Support\Facades\DB;
use Random\Engine\Mt19937;
use Random\Randomizer;

class UserSeeder extends Seeder
{
    public const USERS = 2000;

    private const CHUNK = 500;

    /** The word "password". */
    private const PASSWORD = '$2y$10$92IXUNpkjO0rOQ5byMi.Ye4oKoEa3Ro9llC/.og/at2.uheWG/igi';

    private const FIRST_NAMES = [
        'Anna', 'Ben', 'Carla', 'David', 'Elif', 'Finn', 'Greta', 'Hugo', 'Inés', 'Jan', 'Karin', 'Luca', 'Mia',
        'Noah', 'Olga', 'Paul', 'Quinn', 'Rosa', 'Søren', 'Tina', 'Uwe', 'Vera', 'Wim', 'Xenia', 'Yusuf', 'Zoë',
    ];

    private const LAST_NAMES = [
        'Andersen', 'Bauer', 'Costa', 'Dubois', 'Evans', 'Fischer', 'García', 'Horvat', 'Ivanov', 'Jansen', 'Kaya',
        'Lindqvist', 'Müller', 'Novák', "O'Brien", 'Petrov', 'Rossi', 'Silva', 'Tanaka', 'Virtanen', 'Weber', 'Young',
    ];

    /** Companies whose staff order under one address: address => accounts. */
    private const SHARED_ADDRESSES = [
        'purchasing@northwind.example' => 120,
        'office@harbour-supplies.example' => 70,
        'orders@alpine-hotels.example' => 12,
    ];

    public function run(): void
    {
        $random = new Randomizer(new Mt19937(20240301));
        $start = CarbonImmutable::parse('2023-01-01 08:00:00');
        $shared = $this->sharedAddresses();
        $countries = array_keys(CountrySeeder::COUNTRIES);
        $rows = [];

        for ($id = 1; $id <= self::USERS; $id++) {
            $first = self::FIRST_NAMES[$random->getInt(0, count(self::FIRST_NAMES) - 1)];
            $last = self::LAST_NAMES[$random->getInt(0, count(self::LAST_NAMES) - 1)];
            $created = $start->addMinutes($id * 600 + $random->getInt(0, 599));
            $status = $random->getInt(1, 100);

            $rows[] = [
                'id' => $id,
                'name' => "{$first} {$last}",
                'email' => $shared[$id] ?? $this->address($first, $last, $id),
                'password' => self::PASSWORD,
                'country_code' => $random->getInt(1, 100) <= 6 ? null : $countries[$this->skewed($random, count($countries))],
                'status' => $id <= 10 || $status <= 85 ? 'active' : ($status <= 95 ? 'unconfirmed' : 'blocked'),
                'created_at' => $created,
                'updated_at' => $created,
                'deleted_at' => $id > 10 && $random->getInt(1, 100) <= 3 ? $created->addDays($random->getInt(1, 90)) : null,
            ];
        }

        foreach (array_chunk($rows, self::CHUNK) as $chunk) {
            DB::table('users')->insert($chunk);
        }
    }

    private function address(string $first, string $last, int $id): string
    {
        $plain = strtr(strtolower("{$first}.{$last}"), [
            'é' => 'e', 'í' => 'i', 'ø' => 'o', 'ü' => 'u', 'á' => 'a', 'ë' => 'e', "'" => '',
        ]);

        return $plain.$id.'@example.'.['com', 'org', 'net'][$id % 3];
    }

    /** @return array<int, string> the address of each user that shares one */
    private function sharedAddresses(): array
    {
        $addresses = [];
        $id = 20;

        foreach (self::SHARED_ADDRESSES as $address => $accounts) {
            for ($i = 0; $i < $accounts; $i++) {
                $id += 7;
                $addresses[$id] = $address;
            }
        }

        return $addresses;
    }

    /** A number from 0 to $count - 1; the small ones are the frequent ones. */
    private function skewed(Randomizer $random, int $count): int
    {
        return min($random->getInt(0, $count - 1), $random->getInt(0, $count - 1), $random->getInt(0, $count - 1));
    }
}
