<?php

namespace App\Console\Commands;

use App\Models\User;
use Illuminate\Console\Command;

class ShowUser extends Command
{
    protected $signature = 'users:show {id : The customer number}';

    protected $description = 'One customer with country and number of orders';

    public function handle(): int
    {
        $user = User::withTrashed()->with('country')->withCount('orders')->find($this->argument('id'));

        if ($user === null) {
            $this->error("There is no customer {$this->argument('id')}.");

            return self::FAILURE;
        }

        $this->table(['Field', 'Value'], [
            ['id', $user->id],
            ['name', $user->name],
            ['email', $user->email],
            ['country', $user->country?->name ?? '-'],
            ['status', $user->trashed() ? 'deleted' : $user->status],
            ['orders', $user->orders_count],
        ]);

        return self::SUCCESS;
    }
}
