<?php

/*
 * Makes one executable file of Debian's composer: its classes and those of all the packages that it loads, in a phar.
 *
 *   php -d phar.readonly=0 build-phar.php TARGET
 *
 * Debian's autoloaders name each other by absolute path; in the phar these paths lead into the phar itself.
 */

const SHARE = '/usr/share/php/';
const ALIAS = 'composer.phar';

function fail(string $message): never
{
    fwrite(STDERR, "build-phar: {$message}\n");
    exit(1);
}

/** @return list<string> the folders of composer and of all that its autoloaders require, below SHARE */
function folders(): array
{
    $found = [];
    $next = ['Composer'];
    while ($next !== []) {
        $folder = array_pop($next);
        if (isset($found[$folder])) {
            continue;
        }
        $found[$folder] = true;
        $loader = @file_get_contents(SHARE.$folder.'/autoload.php');
        if ($loader === false) {
            fail(SHARE.$folder.'/autoload.php is missing');
        }
        // Absolute, or relative to the folder: __DIR__ . '/../String/autoload.php'.
        preg_match_all('~(__DIR__ ?\. ?)?\'([\w/.-]+)/autoload\.php\'~', $loader, $matches, PREG_SET_ORDER);
        foreach ($matches as [, $relative, $path]) {
            $other = realpath($relative === '' ? $path : SHARE.$folder.$path);
            if ($other !== false && is_file($other.'/autoload.php')) {
                $next[] = substr($other, strlen(SHARE));
            }
        }
    }

    return array_keys($found);
}

$target = $argv[1] ?? fail('no target named');
$phar = new Phar('/tmp/'.ALIAS, 0, ALIAS);
$phar->startBuffering();
foreach ([...folders(), 'data/Composer', 'data/JsonSchema'] as $folder) {
    if (! is_dir(SHARE.$folder)) {
        continue;
    }
    $files = new RecursiveIteratorIterator(new RecursiveDirectoryIterator(SHARE.$folder, FilesystemIterator::SKIP_DOTS));
    foreach ($files as $file) {
        $text = file_get_contents($file->getPathname());
        if ($file->getFilename() === 'autoload.php') {
            $text = str_replace("'".SHARE, "'phar://".ALIAS.'/share/php/', $text);
        }
        $phar['share/php/'.substr($file->getPathname(), strlen(SHARE))] = $text;
    }
}
$main = preg_replace('/^#![^\n]*\n/', '', file_get_contents('/usr/bin/composer'));
$phar['bin/composer'] = $main;
$phar['bin/without-intl.php'] = file_get_contents(__DIR__.'/without-intl.php');
$phar->setStub(strtr(<<<'STUB'
    #!/usr/bin/env php
    <?php
    Phar::mapPhar('ALIAS');
    require 'phar://ALIAS/bin/without-intl.php';
    require 'phar://ALIAS/bin/composer';
    __HALT_COMPILER();

    STUB, ['ALIAS' => ALIAS]));
$phar->stopBuffering();
printf("%d files\n", count($phar));
unset($phar);
rename('/tmp/'.ALIAS, $target) || fail("cannot write {$target}");
chmod($target, 0755);
