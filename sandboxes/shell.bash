# The long-lived shell inside a box. It reads one request a line from the host (see shell.py), runs each
# command in a fresh bash in a session of its own, and leaves no process of the command behind.
# Arguments: the folder for output files. Everything here avoids forks, which are what a command costs, and
# here-strings, which need a file that a full disk refuses.

out=$1
exec 2>/dev/null
exec {idle}<> <(:)
bash=$(type -P bash) setsid=$(type -P setsid) timeout=$(type -P timeout) head=$(type -P head)
cat=$(type -P cat)
keep=' '

# `keep` is a list of session ids with blanks around: the shells and services of this box.
# A session is the right unit: a process can leave one (setsid), but never enter another's. Servers give each
# of their processes a session (PostgreSQL): ` p123 ` in the list keeps the children of the service 123.
# The first passes stop what they find before they kill it, so that a fork bomb cannot outrun the loop.
sweep() {
    local pass entry line left fields
    for ((pass = 0; pass < 120; pass++)); do
        left=0
        for entry in /proc/[0-9]*; do
            IFS= read -r line <"$entry/stat" || continue
            fields=(${line##*) })  # state parent group session ...
            [[ ${fields[0]} == [ZX] || ${fields[3]} == [01] || $keep == *" ${fields[3]} "* ]] && continue
            [[ $keep == *" p${fields[1]} "* ]] && continue
            ((pass > 0)) && kill -STOP "${entry#/proc/}"
            kill -KILL "${entry#/proc/}" && left=1
        done
        ((left)) || return 0
        ((pass > 2)) && read -r -t 0.02 -u "$idle" _
    done
    return 1
}

# Copy stdin to a file, at most `limit` KiB of it; a command that writes more, or more than the disk holds,
# is ended. `cat` writes what it reads at once (`head` would keep the last block back, which is lost when a
# command kills everything), and the limit of a file's size stops it.
capture() { # file limit
    ulimit -S -f "$2"
    if ! "$cat" >"$1"; then
        : >"$1.over"
        sweep
    fi
}

# nonce keep folder seconds limit shown stdin-bytes name variables command
run() {
    local nonce=$1 folder=$3 seconds=$4 limit=$5 shown=$6 bytes=$7 base=$out/$8 variables=$9 command=${10}
    local input=/dev/null one two first second status over=0 stuck=0
    keep=$2
    : >"$base.1"  # from here on the command counts as begun
    if ((bytes)); then
        input=$base.in
        "$head" -c "$bytes" | { "$cat" >"$input" || "$cat" >/dev/null; }
    fi
    exec {first}> >(capture "$base.1" "$limit")
    one=$!
    exec {second}> >(exec {first}>&-; capture "$base.2" "$limit")
    two=$!
    (
        [[ -z $variables ]] || eval "export $variables"
        cd -- "$folder" && exec "$setsid" "$timeout" -k 2 "$seconds" "$bash" -c "$command"
    ) <"$input" >&"$first" 2>&"$second" {first}>&- {second}>&- {idle}>&-
    status=$?
    exec {first}>&- {second}>&-
    sweep || stuck=1
    wait "$one" "$two"
    ((bytes)) && rm -f -- "$input"
    [[ -e $base.1.over || -e $base.2.over ]] && over=1
    printf '\n%s %d %d %d\n' "$nonce" "$status" "$over" "$stuck"
    [[ -f $base.1 && -s $base.1 ]] && "$head" -c "$shown" -- "$base.1"
    printf '\n%s\n' "$nonce"
    [[ -f $base.2 && -s $base.2 ]] && "$head" -c "$shown" -- "$base.2"
    printf '\n%s\n' "$nonce"
}

# Code of ours, in a subshell: its stdout up to the marker is the answer. It may read its stdin bytes.
# nonce code
internal() {
    ( eval "$2" )
    printf '\n%s %d\n' "$1" "$?"
}

# What a service is started with: its log keeps the last 4 to 8 MiB, whatever it writes.
# Unbuffered, so that a quiet service's last words are in it.
launch='log=$1 command=$2
exec > >(trap "" TERM INT; exec 2>/dev/null; now=$(type -P stdbuf)
    while ${now:+"$now" -o0} head -c 4194304 >"$log.new"; [[ -s $log.new ]]; do mv -f "$log.new" "$log.old"; done) 2>&1
exec bash -c "$command"'

# nonce folder name variables command -> process id, start time (empty where it ended at once)
serve() {
    local pid line fields=()
    (
        trap - INT QUIT
        [[ -z $4 ]] || eval "export $4"
        cd -- "$2" && exec "$setsid" "$bash" -c "$launch" bash "$out/$3.log" "$5"
    ) </dev/null >"$out/$3.log.new" 2>&1 {idle}>&- &
    pid=$!
    while IFS= read -r line <"/proc/$pid/stat"; do
        fields=(${line##*) })
        [[ ${fields[3]} == "$pid" || ${fields[0]} == [ZX] ]] && break
        read -r -t 0.002 -u "$idle" _
    done
    printf '\n%s %d %s\n' "$1" "$pid" "${fields[19]:-gone}"
}

while IFS= read -r request; do
    eval "$request"
done
