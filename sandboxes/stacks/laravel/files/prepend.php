<?php

/*
 * Loaded before the application's own first file, in traced processes and where a request is served as a user.
 *
 * Nothing of the repository is changed or replaced: our autoloader only notices that the framework asks for
 * the class that registers the service providers (in every Laravel the configuration is loaded by then and no
 * query has run yet), hooks into the application that exists at that moment, and leaves loading the class to
 * the next autoloader.
 */

(static function (): void {
    $trace = getenv('BEDEV_TRACE');
    $user = getenv('BEDEV_AS_USER');
    if (($trace === false || $trace === '') && ($user === false || $user === '')) {
        return;
    }
    $script = basename((string) ($_SERVER['SCRIPT_FILENAME'] ?? ''));
    if ($script === 'composer' || str_ends_with($script, '.phar')) {
        return; // composer brings its own copies of classes that the application has too
    }
    $root = getenv('BEDEV_ROOT') ?: '/work';
    $vendor = 'vendor';
    $manifest = @file_get_contents($root . '/composer.json');
    $configured = is_string($manifest) ? (json_decode($manifest, true)['config']['vendor-dir'] ?? null) : null;
    if (is_string($configured) && $configured !== '') {
        $vendor = rtrim($configured, '/');
    }
    if (!is_file("$root/$vendor/autoload.php")) {
        return;
    }
    $tracer = null;
    if (is_string($trace) && $trace !== '') {
        require_once __DIR__ . '/tracer.php';
        $tracer = new \Bedev\Tracer($trace, $root, "$root/$vendor");
        $tracer->begin();
    }
    // Loaded now, so that our autoloader comes before it and hears of every class; the application's own
    // `require` of the same file then finds the work done.
    require_once "$root/$vendor/autoload.php";
    spl_autoload_register(static function (string $class) use ($tracer, $user): void {
        if ($class !== 'Illuminate\Foundation\Bootstrap\RegisterProviders') {
            return;
        }
        $app = \Illuminate\Container\Container::getInstance();
        if (!$app instanceof \Illuminate\Contracts\Foundation\Application) {
            return;
        }
        if ($tracer !== null) {
            $app->make('events')->listen('Illuminate\Database\Events\QueryExecuted', [$tracer, 'query']);
        }
        if (is_string($user) && $user !== '' && PHP_SAPI !== 'cli') {
            require_once __DIR__ . '/act_as.php';
            (new \Bedev\ActAs($user, $tracer))->on($app);
        }
    }, true, true);
})();
