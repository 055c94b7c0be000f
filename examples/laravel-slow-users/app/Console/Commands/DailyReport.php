<?php

namespace App\Console\Commands;

use App\Models\Order;
use Carbon\CarbonImmutable;
use Illuminate\Console\Command;

class DailyReport extends Command
{
    protected $signature = 'report:daily {--date= : The day to report (YYYY-MM-DD); the last day with orders by default}';

    protected $description = 'Number and value of the orders of one day, by status';

    public function handle(): int
    {
        $date = $this->option('date') ?? Order::query()->max('placed_at');

        if ($date === null) {
            $this->info('There are no orders yet.');

            return self::SUCCESS;
        }

        $day = CarbonImmutable::parse($date)->toDateString();

        $rows = Order::query()
            ->whereDate('placed_at', $day)
            ->selectRaw('status, count(*) as orders, sum(total) as value')
            ->groupBy('status')
            ->orderBy('status')
            ->get();

        $this->line("Orders of {$day}");
        $this->table(
            ['Status', 'Orders', 'Value'],
            $rows->map(fn (Order $row) => [$row->status, $row->orders, number_format((float) $row->value, 2, '.', '')])
        );

        return self::SUCCESS;
    }
}
