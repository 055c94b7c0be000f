<?php

namespace Database\Seeders;

use Illuminate\Database\Seeder;
use Illuminate\Support\Facades\DB;

class CountrySeeder extends Seeder
{
    public const COUNTRIES = [
        'DE' => 'Germany', 'FR' => 'France', 'US' => 'United States', 'GB' => 'United Kingdom', 'ES' => 'Spain',
        'IT' => 'Italy', 'NL' => 'Netherlands', 'PL' => 'Poland', 'SE' => 'Sweden', 'AT' => 'Austria',
        'CH' => 'Switzerland', 'BE' => 'Belgium', 'DK' => 'Denmark', 'NO' => 'Norway', 'FI' => 'Finland',
        'PT' => 'Portugal', 'IE' => 'Ireland', 'CZ' => 'Czechia', 'SK' => 'Slovakia', 'HU' => 'Hungary',
        'RO' => 'Romania', 'BG' => 'Bulgaria', 'GR' => 'Greece', 'HR' => 'Croatia', 'SI' => 'Slovenia',
        'EE' => 'Estonia', 'LV' => 'Latvia', 'LT' => 'Lithuania', 'LU' => 'Luxembourg', 'MT' => 'Malta',
        'CY' => 'Cyprus', 'IS' => 'Iceland', 'CA' => 'Canada', 'AU' => 'Australia', 'NZ' => 'New Zealand',
        'JP' => 'Japan', 'BR' => 'Brazil', 'MX' => 'Mexico', 'CI' => "Côte d'Ivoire", 'TR' => 'Türkiye',
    ];

    public function run(): void
    {
        DB::table('countries')->insert(array_map(
            fn (string $code, string $name) => compact('code', 'name'),
            array_keys(self::COUNTRIES),
            self::COUNTRIES,
        ));
    }
}
