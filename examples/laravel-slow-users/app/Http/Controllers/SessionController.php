<?php

namespace App\Http\Controllers;

use App\Http\Requests\LoginRequest;
use App\Http\Resources\UserResource;
use Illuminate\Http\Request;
use Illuminate\Http\Response;
use Illuminate\Support\Facades\Auth;
use Illuminate\Validation\ValidationException;

class SessionController extends Controller
{
    public function store(LoginRequest $request): UserResource
    {
        $credentials = [
            'id' => $request->validated('customer_number'),
            'password' => $request->validated('password'),
            'status' => 'active',
        ];

        if (! Auth::attempt($credentials)) {
            throw ValidationException::withMessages([
                'customer_number' => 'These credentials do not match our records.',
            ]);
        }

        $request->session()->regenerate();

        return new UserResource(Auth::user());
    }

    public function destroy(Request $request): Response
    {
        Auth::logout();

        $request->session()->invalidate();
        $request->session()->regenerateToken();

        return response()->noContent();
    }
}
