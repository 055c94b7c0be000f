<?php

/*
 * Packages that composer took from a folder of the repository (repositories of type "path") and copied into
 * vendor/ are replaced by links to that folder: otherwise the copy would run and an edit would change nothing.
 */

$root = getcwd();
$installed = json_decode((string) @file_get_contents("$root/vendor/composer/installed.json"), true);

foreach ($installed['packages'] ?? [] as $package) {
    $folder = $package['dist']['url'] ?? '';
    if (($package['dist']['type'] ?? '') !== 'path' || !isset($package['install-path'])) {
        continue;
    }
    $source = realpath($folder !== '' && $folder[0] === '/' ? $folder : "$root/$folder");
    $target = "$root/vendor/composer/" . $package['install-path'];
    $parent = realpath(dirname($target));
    if ($source === false || $parent === false || !str_starts_with("$source/", "$root/")
        || !str_starts_with("$parent/", "$root/vendor/")) {
        continue;
    }
    $target = $parent . '/' . basename($target);
    if (is_link($target) || !is_dir($target)) {
        continue;
    }
    $files = new RecursiveIteratorIterator(
        new RecursiveDirectoryIterator($target, FilesystemIterator::SKIP_DOTS),
        RecursiveIteratorIterator::CHILD_FIRST
    );
    foreach ($files as $file) {
        $file->isDir() && !$file->isLink() ? rmdir($file->getPathname()) : unlink($file->getPathname());
    }
    rmdir($target);
    symlink($source, $target);
    echo "linked {$package['name']} to " . substr($source, strlen($root) + 1) . "\n";
}
