<?php

namespace App\Http\Controllers;

use App\Http\Resources\OrderResource;
use App\Http\Resources\UserResource;
use App\Models\Order;
use Illuminate\Http\Request;
use Illuminate\Http\Resources\Json\AnonymousResourceCollection;

class AccountController extends Controller
{
    private const PAGE = 50;

    public function show(Request $request): UserResource
    {
        return new UserResource($request->user());
    }

    public function orders(Request $request): AnonymousResourceCollection
    {
        $orders = $request->user()->orders()
            ->orderByDesc('placed_at')
            ->orderByDesc('id')
            ->limit(self::PAGE)
            ->get();

        return OrderResource::collection($orders);
    }

    public function referrals(Request $request): AnonymousResourceCollection
    {
        $referred = Order::query()->where('referrer_id', $request->user()->id);

        $orders = (clone $referred)
            ->orderByDesc('placed_at')
            ->orderByDesc('id')
            ->limit(self::PAGE)
            ->get();

        return OrderResource::collection($orders)->additional([
            'meta' => ['orders' => $referred->count()],
        ]);
    }
}
