<?php

namespace App\Http\Requests;

use Illuminate\Foundation\Http\FormRequest;

class LoginRequest extends FormRequest
{
    public function rules(): array
    {
        return [
            'customer_number' => ['required', 'integer'],
            'password' => ['required', 'string'],
        ];
    }
}
