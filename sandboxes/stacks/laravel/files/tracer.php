<?php

namespace Bedev;

/**
 * Appends one JSON line for each query, with the place in the application's own code that caused it.
 *
 * Lines: {"kind":"begin","id","what"}, {"kind":"query",...}, {"kind":"more",...,"calls"}, {"kind":"end","id",...}.
 * After FULL_RECORDS queries of one process only counts by statement and place are kept, so that a loop over
 * 100,000 rows costs neither memory nor disk. Nothing is ever printed, and no error leaves this class.
 */
final class Tracer
{
    private const FULL_RECORDS = 2000;
    private const FOLDED_GROUPS = 5000;
    private const FLUSH_EVERY = 20000;
    // Where nobody but the trace counts (SQLite), a statement has to be whole.
    private const MAX_SQL = ['' => 100000, 'whole' => 1000000];
    private const MAX_BINDINGS = ['' => 500, 'whole' => 33000];
    private const MAX_TEXT = 2000;
    private const MAX_FRAMES = 12;

    private string $id;

    private string $extent;

    /** @var resource|false|null */
    private $file = null;

    private int $queries = 0;

    private float $milliseconds = 0.0;

    private int $unflushed = 0;

    private bool $paused = false;

    /** @var array<string, array<string, mixed>> */
    private array $folded = [];

    /** @var array<string, string> */
    private array $templates = [];

    public function __construct(private string $path, private string $root, private string $vendor)
    {
        $this->id = getmypid() . '-' . bin2hex(random_bytes(4));
        $this->extent = getenv('BEDEV_TRACE_WHOLE') === '1' ? 'whole' : '';
    }

    public function begin(): void
    {
        $what = PHP_SAPI === 'cli'
            ? implode(' ', array_map('strval', $_SERVER['argv'] ?? []))
            : ($_SERVER['REQUEST_METHOD'] ?? '') . ' ' . ($_SERVER['REQUEST_URI'] ?? '');
        $this->write(['kind' => 'begin', 'id' => $this->id, 'what' => $this->short($what)]);
        register_shutdown_function(function (): void {
            $this->flush();
            $this->write([
                'kind' => 'end',
                'id' => $this->id,
                'queries' => $this->queries,
                'ms' => round($this->milliseconds, 3),
                'peak_bytes' => memory_get_peak_usage(true),
            ]);
        });
    }

    /** Runs $work without recording its queries: they are bedev's own. */
    public function pause(callable $work): mixed
    {
        $this->paused = true;
        try {
            return $work();
        } finally {
            $this->paused = false;
        }
    }

    /** Listens to Illuminate\Database\Events\QueryExecuted. */
    public function query(object $event): void
    {
        if ($this->paused) {
            return;
        }
        try {
            $this->record($event);
        } catch (\Throwable) {
            // A tracer that fails must not change what the application answers; the totals still count it.
        }
    }

    private function record(object $event): void
    {
        $this->queries++;
        $time = (float) $event->time;
        $this->milliseconds += $time;
        $stack = $this->stack();
        $site = $stack[0] ?? ['file' => '', 'line' => 0, 'function' => $this->cause()];
        $sql = substr((string) $event->sql, 0, self::MAX_SQL[$this->extent]);
        if ($this->queries <= self::FULL_RECORDS) {
            $this->write($this->full('query', $sql, $this->bindings($event), $time, $site, $stack));

            return;
        }
        $shape = preg_replace(
            ['/\(\s*(?:\?|\'[^\']*\'|-?\d+)(?:\s*,\s*(?:\?|\'[^\']*\'|-?\d+))+\s*\)/', '/\b\d+\b/'],
            ['(?+)', '0'],
            $sql
        ) ?? $sql;
        $key = $shape . "\0" . $site['file'] . ':' . $site['line'];
        if (isset($this->folded[$key])) {
            $this->folded[$key]['calls']++;
            $this->folded[$key]['ms'] += $time;
        } else {
            if (count($this->folded) >= self::FOLDED_GROUPS) {
                $this->flush();
            }
            $this->folded[$key] = $this->full('more', $sql, $this->bindings($event), $time, $site, $stack)
                + ['calls' => 1];
        }
        if (++$this->unflushed >= self::FLUSH_EVERY) {
            $this->flush(); // a command that is killed at its time limit keeps what it did until then
        }
    }

    private function full(string $kind, string $sql, array $bindings, float $time, array $site, array $stack): array
    {
        return [
            'kind' => $kind,
            'id' => $this->id,
            'sql' => $sql,
            'bindings' => $bindings,
            'ms' => round($time, 3),
            'file' => $site['file'],
            'line' => $site['line'],
            'function' => $site['function'],
            'stack' => array_map(static fn (array $frame): string => $frame['file'] . ':' . $frame['line'], $stack),
        ];
    }

    private function flush(): void
    {
        foreach ($this->folded as $group) {
            $this->write($group);
        }
        $this->folded = [];
        $this->unflushed = 0;
    }

    /** The application's own frames, innermost first. */
    private function stack(): array
    {
        $own = [];
        $frames = debug_backtrace(DEBUG_BACKTRACE_IGNORE_ARGS);
        foreach ($frames as $i => $frame) {
            $path = $frame['file'] ?? '';
            if (!$this->isOwn($path)) {
                continue;
            }
            // `return $next($request)` of a middleware caused nothing that the layers behind it did.
            if (($frame['class'] ?? '') === 'Illuminate\Pipeline\Pipeline'
                && str_starts_with($frame['function'], '{closure')) {
                continue;
            }
            $own[] = [
                'file' => $this->relative($path),
                'line' => (int) ($frame['line'] ?? 0),
                'function' => $this->name($frames[$i + 1] ?? []),
            ];
            if (count($own) === self::MAX_FRAMES) {
                break;
            }
        }

        return $own;
    }

    /** Which part of the framework asked, for a query that no line of the application did (route binding ...). */
    private function cause(): string
    {
        foreach (debug_backtrace(DEBUG_BACKTRACE_IGNORE_ARGS) as $frame) {
            if (($frame['function'] ?? '') === 'handle' && isset($frame['class'])
                && str_contains($frame['class'], '\\')) {
                return $this->name($frame);
            }
        }

        return '';
    }

    private function isOwn(string $path): bool
    {
        if (!str_starts_with($path, $this->root . '/') || str_starts_with($path, $this->vendor . '/')) {
            return false;
        }
        $relative = substr($path, strlen($this->root) + 1);

        return !in_array($relative, ['artisan', 'public/index.php', 'server.php', 'bootstrap/app.php'], true)
            && !str_contains($relative, "eval()'d code");
    }

    /** A compiled Blade view is named by its template (Laravel writes its path at the end of the file). */
    private function relative(string $path): string
    {
        $relative = substr($path, strlen($this->root) + 1);
        if (!str_starts_with($relative, 'storage/framework/views/')) {
            return $relative;
        }
        if (!isset($this->templates[$path])) {
            $size = (int) @filesize($path);
            $tail = (string) @file_get_contents($path, false, null, max(0, $size - 1000));
            $found = preg_match('#/\*\*PATH (.+?) ENDPATH\*\*/#', $tail, $match) === 1
                && str_starts_with($match[1], $this->root . '/');
            $this->templates[$path] = $found ? substr($match[1], strlen($this->root) + 1) : $relative;
        }

        return $this->templates[$path];
    }

    private function name(array $frame): string
    {
        $function = (string) ($frame['function'] ?? '');
        if (str_starts_with($function, '{closure')) {
            $function = '{closure}';
        } elseif (in_array($function, ['require', 'require_once', 'include', 'include_once'], true)) {
            return '';
        }
        $position = strrpos($function, '\\');
        if ($position !== false) {
            $function = substr($function, $position + 1);
        }

        return isset($frame['class']) ? strtok($frame['class'], "\0") . '::' . $function : $function;
    }

    private function bindings(object $event): array
    {
        $bindings = array_slice(array_values($event->bindings), 0, self::MAX_BINDINGS[$this->extent]);
        if (is_object($event->connection ?? null)) {
            $bindings = $event->connection->prepareBindings($bindings);
        }

        return array_map([$this, 'plain'], array_values($bindings));
    }

    private function plain(mixed $value): mixed
    {
        if (is_float($value) && !is_finite($value)) {
            return (string) $value;
        }
        if ($value === null || is_bool($value) || is_int($value) || is_float($value)) {
            return $value;
        }
        if ($value instanceof \BackedEnum) {
            return $value->value;
        }
        if (!is_string($value) && !$value instanceof \Stringable) {
            return '(' . get_debug_type($value) . ')';
        }
        $text = (string) $value;
        if (preg_match('//u', $text) !== 1) {
            return ['base64' => base64_encode(substr($text, 0, self::MAX_TEXT))];
        }

        return $this->short($text);
    }

    private function short(string $text): string
    {
        return strlen($text) > self::MAX_TEXT ? substr($text, 0, self::MAX_TEXT) . '…' : $text;
    }

    private function write(array $line): void
    {
        if ($this->file === null) {
            $this->file = @fopen($this->path, 'ab');
        }
        if ($this->file === false) {
            return;
        }
        $text = json_encode(
            $line,
            JSON_UNESCAPED_SLASHES | JSON_INVALID_UTF8_SUBSTITUTE | JSON_PARTIAL_OUTPUT_ON_ERROR | JSON_PRESERVE_ZERO_FRACTION
        );
        if (is_string($text)) {
            @flock($this->file, LOCK_EX); // processes of one command share the file
            @fwrite($this->file, $text . "\n");
            @flock($this->file, LOCK_UN);
        }
    }
}
