# An SSH server's log, as syslog writes it, to events as JSON lines:
#
#   awk -v year=2017 -f examples/sshd.awk OpenSSH_2k.log > ssh.jsonl
#
# Syslog leaves out the year and the time zone: the year is given, and times are taken as UTC. `line` is the number of the
# log's line, for finding it again.

function text(value) {
    gsub(/\\/, "\\\\", value); gsub(/"/, "\\\"", value); gsub(/[[:cntrl:]]/, " ", value)
    return "\"" value "\""
}

# What follows the words in the message, if it has them: `rest` is set.
function after(words) {
    if (!match(message, words)) return 0
    rest = substr(message, RSTART + RLENGTH)
    return 1
}

function until(value, end) { sub(end ".*", "", value); return value }

{
    message = $0
    sub(/^[^ ]+ +[^ ]+ [^ ]+ [^ ]+ [^ ]+ /, "", message)
    type = "other"; user = ip = rhost = ""
    if (after("Failed (password|none) for ")) {
        type = "failed_password"; sub(/^invalid user /, "", rest)
        user = until(rest, " from "); sub(/^.* from /, "", rest); ip = until(rest, " ")
    } else if (after("Accepted (password|publickey) for ")) {
        type = "accepted_password"
        user = until(rest, " from "); sub(/^.* from /, "", rest); ip = until(rest, " ")
    } else if (after("Invalid user ")) {
        type = "invalid_user"
        user = until(rest, " from "); sub(/^.*from /, "", rest); ip = until(rest, " ")
    } else if (after("reverse mapping checking getaddrinfo for ")) {
        type = "break_in_attempt"
        rhost = until(rest, " "); sub(/^[^[]*\[/, "", rest); ip = until(rest, "]")
    } else if (after("Received disconnect from ")) {
        type = "disconnect"; ip = until(rest, ":")
    } else if (after("Connection closed by ")) {
        type = "connection_closed"; ip = until(rest, " ")
    }
    # A guesser may type anything for a name, blanks and words of the log among it: such lines stay what they are.
    if (user ~ / /) { type = "other"; user = ip = "" }
    month = (index("JanFebMarAprMayJunJulAugSepOctNovDec", $1) + 2) / 3
    printf "{\"line\":%d,\"type\":\"%s\",\"ts\":\"%04d-%02d-%02dT%sZ\"", NR, type, year, month, $2, $3
    if (user != "") printf ",\"user\":%s", text(user)
    if (ip != "") printf ",\"ip\":%s", text(ip)
    if (rhost != "") printf ",\"rhost\":%s", text(rhost)
    printf ",\"message\":%s}\n", text(message)
}
