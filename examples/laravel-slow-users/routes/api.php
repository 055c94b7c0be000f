<?php

use App\Http\Controllers\AccountController;
use App\Http\Controllers\CountryController;
use App\Http\Controllers\HealthController;
use App\Http\Controllers\OrderReportController;
use App\Http\Controllers\SessionController;
use App\Http\Controllers\UserController;
use Illuminate\Support\Facades\Route;

Route::get('/health', HealthController::class);
Route::get('/countries', [CountryController::class, 'index']);

Route::get('/users', [UserController::class, 'index']);
Route::get('/users/{user}', [UserController::class, 'show'])->whereNumber('user');

Route::get('/reports/latest-orders', [OrderReportController::class, 'latest']);

Route::middleware('session')->group(function () {
    Route::post('/login', [SessionController::class, 'store']);

    Route::middleware('auth')->group(function () {
        Route::post('/logout', [SessionController::class, 'destroy']);
        Route::get('/account', [AccountController::class, 'show']);
        Route::get('/account/orders', [AccountController::class, 'orders']);
        Route::get('/account/referrals', [AccountController::class, 'referrals']);
    });
});
