<?php

/*
 * `php inspect.php routes|commands|migrations` in the application's folder: boots the application as `artisan`
 * does and prints one line of JSON after a marker (applications may print while they boot).
 */

use Illuminate\Contracts\Console\Kernel;

$bedevRoot = getcwd();
require $bedevRoot . '/vendor/autoload.php';
$bedevApp = require_once $bedevRoot . '/bootstrap/app.php';

(static function (object $app, string $root, string $what): void {
    $kernel = $app->make(Kernel::class);
    $kernel->bootstrap();

    $own = static function (?string $file) use ($root): string {
        $file = $file === null ? '' : (string) $file;
        $inside = str_starts_with($file, $root . '/') && !str_starts_with($file, $root . '/vendor/');

        return $inside ? substr($file, strlen($root) + 1) : '';
    };

    $routes = static function () use ($app, $own): array {
        $router = $app->make('router');
        $app->make(Illuminate\Contracts\Http\Kernel::class); // its middleware groups and aliases are the router's
        $found = [];
        foreach ($router->getRoutes() as $route) {
            $uses = $route->getAction('uses');
            $handler = is_string($uses) ? ltrim($uses, '\\') : 'Closure';
            $source = '';
            $login = false;
            try {
                if (is_string($uses)) {
                    [$class, $method] = explode('@', $uses, 2) + [1 => '__invoke'];
                    $source = $own((new ReflectionClass($class))->getFileName() ?: null);
                } elseif ($uses instanceof Closure) {
                    $source = $own((new ReflectionFunction($uses))->getFileName() ?: null);
                }
                foreach ($router->gatherRouteMiddleware($route) as $middleware) {
                    $name = is_string($middleware) ? explode(':', $middleware, 2)[0] : '';
                    $login = $login || in_array($name, ['auth', 'auth.basic'], true)
                        || ($name !== '' && class_exists($name) && (
                            is_a($name, 'Illuminate\Contracts\Auth\Middleware\AuthenticatesRequests', true)
                            || is_a($name, 'Illuminate\Auth\Middleware\Authenticate', true)
                            || is_a($name, 'Illuminate\Auth\Middleware\AuthenticateWithBasicAuth', true)));
                }
            } catch (Throwable) {
                // A route whose controller is gone is listed by its name; calling it would fail too.
            }
            foreach ($route->methods() as $method) {
                if ($method === 'HEAD') {
                    continue;
                }
                $found[] = [
                    'method' => $method,
                    'path' => $route->uri(),
                    'handler' => $handler,
                    'needs_login' => $login,
                    'name' => (string) $route->getName(),
                    'source' => $source,
                ];
            }
        }

        return $found;
    };

    $commands = static function () use ($kernel, $own): array {
        $found = [];
        foreach ($kernel->all() as $name => $command) {
            $reflection = new ReflectionObject($command);
            $file = $reflection->getFileName() ?: null;
            if ($command instanceof Illuminate\Foundation\Console\ClosureCommand) {
                $property = new ReflectionProperty(Illuminate\Foundation\Console\ClosureCommand::class, 'callback');
                if (PHP_VERSION_ID < 80100) {
                    $property->setAccessible(true);
                }
                $file = (new ReflectionFunction($property->getValue($command)))->getFileName() ?: null;
            }
            $source = $own($file);
            if ($source === '' || $name !== $command->getName()) {
                continue;
            }
            $found[] = ['name' => $name, 'description' => $command->getDescription(), 'source' => $source];
        }

        return $found;
    };

    $migrations = static function () use ($app): array {
        $migrator = $app->make('migrator');
        $paths = array_merge($migrator->paths(), [$app->databasePath('migrations')]);
        $ran = $migrator->repositoryExists() ? $migrator->getRepository()->getRan() : [];

        return array_values(array_diff(array_keys($migrator->getMigrationFiles($paths)), $ran));
    };

    $result = ['routes' => $routes, 'commands' => $commands, 'migrations' => $migrations][$what]();
    fwrite(STDOUT, "\nBEDEV-INSPECT " . json_encode($result, JSON_UNESCAPED_SLASHES | JSON_INVALID_UTF8_SUBSTITUTE) . "\n");
})($bedevApp, $bedevRoot, $argv[1] ?? '');
