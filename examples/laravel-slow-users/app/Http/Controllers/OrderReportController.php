<?php

namespace App\Http\Controllers;

use App\Http\Requests\LatestOrdersRequest;
use App\Http\Resources\OrderResource;
use App\Models\Order;
use Illuminate\Http\Resources\Json\AnonymousResourceCollection;

class OrderReportController extends Controller
{
    private const LIMIT = 50;

    public function latest(LatestOrdersRequest $request): AnonymousResourceCollection
    {
        $orders = Order::query()
            ->with('user')
            ->where('status', $request->validated('status'))
            ->orderByDesc('placed_at')
            ->orderByDesc('id')
            ->limit(self::LIMIT)
            ->get();

        return OrderResource::collection($orders);
    }
}
