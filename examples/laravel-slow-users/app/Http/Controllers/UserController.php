<?php

namespace App\Http\Controllers;

use App\Http\Requests\ListUsersRequest;
use App\Http\Resources\CustomerResource;
use App\Http\Resources\UserResource;
use App\Models\User;
use Illuminate\Database\Eloquent\Collection;
use Illuminate\Http\Resources\Json\AnonymousResourceCollection;

class UserController extends Controller
{
    private const PAGE = 25;

    public function index(ListUsersRequest $request): AnonymousResourceCollection
    {
        if ($request->filled('email')) {
            return UserResource::collection($this->accountsOf($request->validated('email')));
        }

        $customers = User::query()
            ->when($request->validated('country'), fn ($query, $country) => $query->where('country_code', $country))
            ->orderBy('id')
            ->simplePaginate(self::PAGE)
            ->withQueryString();

        return CustomerResource::collection($customers);
    }

    public function show(User $user): UserResource
    {
        return new UserResource($user);
    }

    /** A company's staff may share one address, so there can be several accounts of it. */
    private function accountsOf(string $email): Collection
    {
        return User::query()
            ->where('email', $email)
            ->orderBy('id')
            ->get();
    }
}
