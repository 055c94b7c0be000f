<?php

namespace App\Http\Resources;

use Illuminate\Http\Request;
use Illuminate\Http\Resources\Json\JsonResource;

/** @mixin \App\Models\User */
class CustomerResource extends JsonResource
{
    public function toArray(Request $request): array
    {
        return [
            'id' => $this->id,
            'name' => $this->name,
            'email' => $this->email,
            'status' => $this->status,
            'country' => $this->country?->name,
            'orders_count' => $this->orders()->count(),
            'latest_orders' => OrderResource::collection(
                $this->orders()->orderByDesc('placed_at')->orderByDesc('id')->limit(3)->get()
            ),
        ];
    }
}
