<?php

/*
 * For `php -S`: a file that exists below public/ is served as it is, everything else is the application's,
 * as behind a web server whose document root is public/. SCRIPT_NAME is what php-fpm would give: PHP's own
 * server puts the request's path there when it ends in an extension, and the framework then routes wrongly.
 */

$bedevPublic = $_SERVER['DOCUMENT_ROOT'];
$bedevPath = rawurldecode((string) parse_url('http://host' . $_SERVER['REQUEST_URI'], PHP_URL_PATH));

if ($bedevPath !== '/' && !str_contains($bedevPath, "\0") && is_file($bedevPublic . $bedevPath)
    && !str_ends_with($bedevPath, '.php')) {
    return false;
}

$_SERVER['SCRIPT_NAME'] = '/index.php';
$_SERVER['SCRIPT_FILENAME'] = $bedevPublic . '/index.php';
$_SERVER['PHP_SELF'] = '/index.php';
unset($bedevPath, $_SERVER['PATH_INFO']);

require $bedevPublic . '/index.php';
