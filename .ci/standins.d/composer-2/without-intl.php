<?php

/*
 * What composer needs of the intl extension to draw its messages, for images without it. Composer's own release
 * carries Symfony's polyfills for this; Debian has none. Text counts as normalized, and a code point as a character:
 * only the width of messages with combining marks differs.
 */

if (! class_exists('Normalizer', false)) {
    class Normalizer
    {
        public const FORM_D = 4;

        public const NFD = 4;

        public const FORM_KD = 8;

        public const NFKD = 8;

        public const FORM_C = 16;

        public const NFC = 16;

        public const FORM_KC = 32;

        public const NFKC = 32;

        public static function isNormalized(string $string, int $form = self::FORM_C): bool
        {
            return mb_check_encoding($string, 'UTF-8');
        }

        public static function normalize(string $string, int $form = self::FORM_C): string|false
        {
            return mb_check_encoding($string, 'UTF-8') ? $string : false;
        }
    }
}

if (! function_exists('normalizer_is_normalized')) {
    function normalizer_is_normalized(string $string, int $form = Normalizer::FORM_C): bool
    {
        return Normalizer::isNormalized($string, $form);
    }

    function normalizer_normalize(string $string, int $form = Normalizer::FORM_C): string|false
    {
        return Normalizer::normalize($string, $form);
    }
}

if (! function_exists('grapheme_strlen')) {
    define('GRAPHEME_EXTR_COUNT', 0);
    define('GRAPHEME_EXTR_MAXBYTES', 1);
    define('GRAPHEME_EXTR_MAXCHARS', 2);

    function grapheme_strlen(string $string): int|false|null
    {
        return mb_strlen($string, 'UTF-8');
    }

    function grapheme_substr(string $string, int $offset, ?int $length = null): string|false
    {
        return mb_substr($string, $offset, $length, 'UTF-8');
    }

    function grapheme_strpos(string $haystack, string $needle, int $offset = 0): int|false
    {
        return mb_strpos($haystack, $needle, $offset, 'UTF-8');
    }

    function grapheme_stripos(string $haystack, string $needle, int $offset = 0): int|false
    {
        return mb_stripos($haystack, $needle, $offset, 'UTF-8');
    }

    function grapheme_strrpos(string $haystack, string $needle, int $offset = 0): int|false
    {
        return mb_strrpos($haystack, $needle, $offset, 'UTF-8');
    }

    function grapheme_strripos(string $haystack, string $needle, int $offset = 0): int|false
    {
        return mb_strripos($haystack, $needle, $offset, 'UTF-8');
    }

    function grapheme_strstr(string $haystack, string $needle, bool $before = false): string|false
    {
        return mb_strstr($haystack, $needle, $before, 'UTF-8');
    }

    function grapheme_stristr(string $haystack, string $needle, bool $before = false): string|false
    {
        return mb_stristr($haystack, $needle, $before, 'UTF-8');
    }

    function grapheme_extract(string $haystack, int $size, int $type = 0, int $offset = 0, ?int &$next = null): string|false
    {
        $rest = substr($haystack, $offset);
        if ($rest === '') {
            return false;
        }
        $part = $type === GRAPHEME_EXTR_MAXBYTES ? mb_strcut($rest, 0, $size, 'UTF-8') : mb_substr($rest, 0, $size, 'UTF-8');
        $next = $offset + strlen($part);

        return $part;
    }
}
