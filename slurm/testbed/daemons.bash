# shellcheck shell=bash
# shellcheck disable=SC2034  # what is set here is used by those that read this file
# What `up`, `down` and `control` share: where the testbed lives, how a daemon of it is started, known again and ended.

umask 022
export LC_ALL=C
unset CDPATH

# What the caller has open beyond the usual three would stay open in the daemons: a pipe that never ends.
for inherited in "/proc/$$/fd"/*; do
    inherited=${inherited##*/}
    [ "$inherited" -le 2 ] || [ "$inherited" -eq 255 ] || eval "exec $inherited>&-"
done

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
default_state=/var/lib/difair-testbed
nodes=(v100-1 v100-2 rtx-1 rtx-2)
daemons=(munged mariadbd slurmdbd slurmctld "${nodes[@]}" watch)
programs=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
PATH=$programs${PATH:+:$PATH}

say() { printf 'testbed: %s\n' "$*"; }
die() {
    printf 'testbed: %s\n' "$*" >&2
    exit 1
}

require_root() {
    [ "$(id -u)" = 0 ] || die "$(basename "$0") works as root only (it starts daemons that change user); you are $(id -un)."
}

# Sets `state`. SLURM cannot quote a path in its files, and the path of a socket holds 107 characters at most.
find_state() {
    state=$(realpath -m -- "${DIFAIR_TESTBED:-$default_state}") || die "DIFAIR_TESTBED=$DIFAIR_TESTBED is no path."
    [[ $state =~ ^/[A-Za-z0-9._/-]+$ ]] ||
        die "DIFAIR_TESTBED=$state: only letters, digits and . _ - / can stand in the paths of slurm.conf."
    [ ${#state} -le 60 ] || die "DIFAIR_TESTBED=$state has ${#state} characters; sockets allow 60 at most."
    environment=(env -i PATH="$programs" LC_ALL=C HOME=/ SLURM_CONF="$state/etc/slurm.conf"
        MYSQL_UNIX_PORT="$state/run/mariadb.sock" DIFAIR_TESTBED_STATE="$state")
    cd / || die "/ cannot be entered." # the folder of the caller may have gone
}

# The lock is on the folder itself, so nothing of it stays. It ends with the process that holds it; daemons close it.
lock_state() {
    exec 9<"$state" || die "$state cannot be opened."
    flock "$@" 9 || die "another up, down or control is at work on $state; wait for it and try again."
    [ "$state" -ef /dev/fd/9 ] || die "$state was removed just now by somebody else; try again."
}

is_ours() { [ -f "$state/.difair-testbed" ] && [ -O "$state" ]; }

# Prints the state letter, parent and start time of a process, nothing when it has gone. A name may hold blanks and ).
process_facts() {
    local text='' fields
    { read -r -d '' text <"/proc/$1/stat"; } 2>/dev/null
    [ -n "$text" ] || return 0
    read -ra fields <<<"${text##*) }"
    echo "${fields[0]} ${fields[1]} ${fields[19]}"
}

# is_alive PID START: the same process still runs, and is no zombie that nobody waits for.
is_alive() {
    local letter start
    read -r letter _ start <<<"$(process_facts "$1")"
    [ -n "$start" ] && [ "$start" = "$2" ] && [ "$letter" != Z ]
}

# Prints "PID START" of a daemon that runs.
running() {
    local name pid start
    [ -f "$state/pids" ] || return 1
    while read -r name pid start; do
        [ "$name" = "$1" ] && is_alive "$pid" "$start" && echo "$pid $start" && return 0
    done <"$state/pids"
    return 1
}

record() {
    local _ start
    read -r _ _ start <<<"$(process_facts "$2")"
    forget "$1"
    [ -z "$start" ] || echo "$1 $2 $start" >>"$state/pids"
}

# A daemon without a record was ended on purpose.
forget() {
    { grep -v "^$1 " "$state/pids" 2>/dev/null || true; } >"$state/pids.new"
    mv "$state/pids.new" "$state/pids"
}

# Commands of SLURM and MariaDB run without the settings of the shell that called us.
clean() { "${environment[@]}" "$@"; }

start_daemon() {
    local name=$1 command
    case $name in
        munged)
            command=(munged --foreground --force --key-file="$state/munge/key" --socket="$state/munge/socket"
                --pid-file="$state/run/munged.pid" --seed-file="$state/munge/seed")
            ;;
        mariadbd) command=(mariadbd --defaults-file="$state/etc/mariadb.cnf" --user=root) ;;
        slurmdbd | slurmctld) command=("$name" -D) ;;
        watch) command=(env DIFAIR_TESTBED="$state" "$here/watch") ;;
        *) command=(slurmd -D -N "$name") ;;
    esac
    cd "$state" || return
    # No function here: $! must be the daemon, not a shell that waits for it.
    "${environment[@]}" setsid "${command[@]}" >>"$state/log/$name.log" 2>&1 </dev/null 9<&- &
    record "$name" $!
    disown
}

# answers NAME: the daemon does its work. A node does when the controller has heard of it.
answers() {
    running "$1" >/dev/null || return
    case $1 in
        munged) munge --socket "$state/munge/socket" --no-input ;;
        mariadbd) clean mariadb-admin --no-defaults ping ;;
        slurmdbd) clean timeout 5 sacctmgr --noheader show cluster ;;
        slurmctld) clean timeout 5 scontrol ping | grep -q 'is UP' ;;
        watch) true ;;
        *) ! clean timeout 5 sinfo --noheader --Node --nodes "$1" --format %T | grep -Eq 'unk|\*|^$' ;;
    esac >"$state/log/probe.log" 2>&1
}

# wait_until SECONDS COMMAND...: false when the time is over first.
wait_until() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $deadline ] || return 1
        sleep 0.1
    done
}

# Fails at once, not at the deadline, when the daemon has died.
wait_for_daemon() {
    local deadline=$((SECONDS + $2))
    until answers "$1"; do
        running "$1" >/dev/null || return 1
        [ $SECONDS -lt $deadline ] || return 1
        sleep 0.1
    done
}

any_alive() {
    local one
    for one in "$@"; do
        # shellcheck disable=SC2086  # "PID START" are two words
        is_alive $one && return 0
    done
    return 1
}
none_alive() { ! any_alive "$@"; }

# end GRACE "PID START"...: TERM, and KILL for what is there after GRACE seconds.
end() {
    local grace=$1 one
    shift
    for one in "$@"; do
        # shellcheck disable=SC2086
        is_alive $one && kill -TERM "${one% *}" 2>/dev/null
    done
    wait_until "$grace" none_alive "$@" && return
    for one in "$@"; do
        # shellcheck disable=SC2086
        is_alive $one && kill -KILL "${one% *}" 2>/dev/null
    done
    wait_until 5 none_alive "$@"
}

end_daemon() {
    local found
    found=$(running "$1") || return 0
    end "$2" "$found"
}
