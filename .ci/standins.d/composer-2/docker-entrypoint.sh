#!/bin/sh
set -e

# An option or the name of a composer command is meant for composer.
case "${1-}" in
-*) set -- composer "$@" ;;
sh) ;; # composer would take it for an abbreviation of `show`
?*) if composer help "$1" >/dev/null 2>&1; then set -- composer "$@"; fi ;;
esac

exec "$@"
