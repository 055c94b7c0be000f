<?php

namespace Bedev;

/**
 * Serves every request as one user, `TABLE:ID`: the user is set on each guard whose provider reads that table,
 * as the framework's own test helper `actingAs` does. Requests then need no session and no CSRF token.
 * Where that is not possible the answer is a 500 whose header X-Bedev-Error says why.
 */
final class ActAs
{
    public function __construct(private string $user, private ?Tracer $tracer)
    {
    }

    public function on(object $app): void
    {
        foreach (['VerifyCsrfToken', 'PreventRequestForgery'] as $name) {
            $app->resolving("Illuminate\\Foundation\\Http\\Middleware\\$name", static function (object $middleware): void {
                (function (): void {
                    $this->except = ['*'];
                })->call($middleware);
            });
        }
        $app->booted(function () use ($app): void {
            $work = function () use ($app): void {
                $this->logIn($app);
            };
            try {
                $this->tracer === null ? $work() : $this->tracer->pause($work);
            } catch (\Throwable $error) {
                $this->refuse($error->getMessage());
            }
        });
    }

    private function logIn(object $app): void
    {
        [$table, $id] = explode(':', $this->user, 2) + [1 => ''];
        if ($table === '' || $id === '') {
            throw new \RuntimeException("A user is given as TABLE:ID, not as `{$this->user}`.");
        }
        $config = $app->make('config');
        $auth = $app->make('auth');
        $tables = [];
        $users = []; // by provider: an Eloquent model for one, a plain row for another
        $guards = 0;
        foreach ((array) $config->get('auth.guards', []) as $guard => $settings) {
            $name = $settings['provider'] ?? null;
            // A guard without a provider of its own (sanctum) takes the users of the default guard's provider.
            $provider = $name ?? $config->get('auth.guards.' . $config->get('auth.defaults.guard') . '.provider');
            $its = $this->table($config->get("auth.providers.$provider") ?? []);
            $tables[] = (string) $its;
            if ($its !== $table) {
                continue;
            }
            $found = $users[$provider] ??= $auth->createUserProvider($provider)->retrieveById($id);
            if ($found === null) {
                throw new \RuntimeException("There is no user with id $id in the table `$table`.");
            }
            $this->allAbilities($found, (string) ($settings['driver'] ?? ''));
            $instance = $auth->guard($guard);
            if (method_exists($instance, 'setUser')) {
                $instance->setUser($found);
                $guards++;
            }
        }
        if ($guards === 0) {
            $known = implode(', ', array_unique(array_filter($tables))) ?: 'none';
            throw new \RuntimeException("No guard of config/auth.php reads the table `$table` (tables of its guards: $known).");
        }
    }

    private function table(array $provider): ?string
    {
        $model = $provider['model'] ?? null;
        if (is_string($model) && class_exists($model)) {
            return (new $model())->getTable();
        }

        return isset($provider['table']) ? (string) $provider['table'] : null;
    }

    /** What a first-party session has: a token that can do everything. */
    private function allAbilities(object $user, string $driver): void
    {
        foreach (['sanctum' => 'Laravel\Sanctum\TransientToken', 'passport' => 'Laravel\Passport\TransientToken'] as $name => $token) {
            if ($driver === $name && method_exists($user, 'withAccessToken') && class_exists($token)) {
                $user->withAccessToken(new $token());
            }
        }
    }

    private function refuse(string $reason): void
    {
        $reason = trim((string) preg_replace('/[^\x20-\x7e]+/', ' ', $reason));
        http_response_code(500);
        header('Content-Type: text/plain; charset=utf-8');
        header('X-Bedev-Error: ' . substr("cannot act as {$this->user}: $reason", 0, 1000));
        echo "bedev cannot act as {$this->user}: $reason\n";
        exit(1);
    }
}
