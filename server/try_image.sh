#!/usr/bin/env bash
# Build the image, run a container of it, and let a client outside step a dream in it: with TLS and a
# token, then with mutual TLS on the same volume.
#
#   server/try_image.sh [--keep]     keep the built image
#
# With docker or podman running: uses that. Elsewhere, as root on Debian: buildah with chroot
# isolation and vfs storage, on a base of debootstrap's under the name in FROM; the container and
# the client are then each a host of their own, in network namespaces.
#
# What the build needs of this machine to reach its package registries:
#   TORCH_INDEX  build argument: PyTorch's index of CPU wheels, say (default: none)
#   VOLUMES      SOURCE:TARGET:ro …, mounted while building (buildah and podman)
# And:
#   PYTHON       runs the client: has dreamenv-client, and the library to compare (default: .venv's)
#   WORK         a folder for the build, several GB (default: a temporary one)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

PYTHON=${PYTHON:-$PWD/.venv/bin/python}
IMAGE=dreamenv-tried
DREAM=Dream-CarRacing-v0
MADE=
[[ -n ${WORK:-} ]] || WORK=$(mktemp -d) MADE=$WORK
KEEP=no
[[ ${1:-} == --keep ]] && KEEP=yes
BUILD=(--build-arg "TORCH_INDEX=${TORCH_INDEX-}")

say() { printf '\n== %s\n' "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

# ------------------------------------------------------------------------- docker and podman

engine_build() {
    local mounts=()
    if [[ $ENGINE == podman ]]; then
        for volume in ${VOLUMES:-}; do mounts+=(--volume "$volume"); done
        BUILD+=(--format docker)  # else HEALTHCHECK is lost
    fi
    "$ENGINE" build "${mounts[@]}" "${BUILD[@]}" --tag "$IMAGE" .
}
engine_start() {
    "$ENGINE" rm --force "$IMAGE" >/dev/null 2>&1 || true
    "$ENGINE" run --detach --name "$IMAGE" --publish 127.0.0.1::50051 \
        --volume "$IMAGE:/var/lib/dreamenv" --volume "$WORK/clients:/clients:ro" \
        --env DREAMENV_HOSTS=127.0.0.1 "$IMAGE" "${ARGUMENTS[@]}" "$@" >/dev/null
    SERVER=$("$ENGINE" port "$IMAGE" 50051/tcp | head -1)
}
engine_exec() { "$ENGINE" exec "$IMAGE" "$@"; }
engine_client() { "$@"; }
engine_uid() { engine_exec id -u; }
engine_stop() {
    "$ENGINE" stop --time 30 "$IMAGE" >/dev/null
    STATUS=$("$ENGINE" inspect --format '{{.State.ExitCode}}' "$IMAGE")
}
engine_logs() { "$ENGINE" logs "$IMAGE" 2>&1; }
engine_healthcheck() {
    "$ENGINE" inspect --format '{{join .Config.Healthcheck.Test " "}}' "$IMAGE"
}
engine_clean() {
    "$ENGINE" rm --force "$IMAGE" >/dev/null 2>&1 || true
    "$ENGINE" volume rm "$IMAGE" >/dev/null 2>&1 || true
    [[ $KEEP == yes ]] || "$ENGINE" rmi --force "$IMAGE" >/dev/null 2>&1 || true
}

# --------------------------------------------------------------------------------- buildah

b() {
    STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot \
        buildah --storage-driver vfs --root "$WORK/store" --runroot "$WORK/run" "$@"
}
buildah_base() {  # the image that FROM names, when it cannot be pulled
    local base root=$WORK/base made
    base=$(sed -n 's/^ARG PYTHON=//p' Dockerfile)
    b inspect --type image "$base" >/dev/null 2>&1 && return
    command -v debootstrap >/dev/null || fail "expected debootstrap: apt-get install debootstrap"
    say "a base of Debian's, as $base"
    debootstrap --variant=minbase \
        --include=python3,python3-venv,python3-pip,ca-certificates,openssl bookworm "$root" \
        >"$WORK/debootstrap.log" || fail "debootstrap: see $WORK/debootstrap.log"
    ln -s /usr/bin/python3 "$root/usr/local/bin/python3"
    ln -s /usr/bin/python3 "$root/usr/local/bin/python"
    made=$(b from scratch)
    b add --quiet "$made" "$root" / >/dev/null
    b commit --quiet "$made" "$base" >/dev/null
    b rm "$made" >/dev/null
    rm -rf "$root"
}
buildah_build() {
    local mounts=()
    buildah_base
    for volume in ${VOLUMES:-}; do mounts+=(--volume "$volume"); done
    b bud --pull-never --format docker "${mounts[@]}" "${BUILD[@]}" --tag "$IMAGE" .
}
buildah_hosts() {
    # Two hosts and a wire between them, so that the container listens on all its addresses as it
    # would anywhere, and nothing else can reach it.
    ip netns add "$NET-server"
    ip netns add "$NET-client"
    ip link add server netns "$NET-server" type veth peer name client netns "$NET-client"
    ip -n "$NET-server" address add 192.0.2.1/24 dev server
    ip -n "$NET-client" address add 192.0.2.2/24 dev client
    for host in server client; do
        ip -n "$NET-$host" link set lo up
        ip -n "$NET-$host" link set "$host" up
    done
    SERVER=192.0.2.1:50051
    CONTAINER=$(b from --pull-never "$IMAGE")
}
buildah_start() {
    local entry
    [[ -n ${CONTAINER:-} ]] || buildah_hosts
    read -ra entry <<<"$(b inspect --type image --format \
        '{{range .Docker.Config.Entrypoint}}{{.}} {{end}}' "$IMAGE")"
    ip netns exec "$NET-server" env STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot \
        buildah --storage-driver vfs --root "$WORK/store" --runroot "$WORK/run" \
        run --volume "$WORK/clients:/clients:ro" --env DREAMENV_HOSTS=192.0.2.1 "$CONTAINER" -- \
        "${entry[@]}" "${ARGUMENTS[@]}" "$@" >"$WORK/log" 2>&1 &
    RUNNING=$!
}
buildah_exec() { b run "$CONTAINER" -- "$@"; }
buildah_client() { ip netns exec "$NET-client" "$@"; }
server_process() {  # buildah passes no signals on, and hides its child behind a few of its own
    local parent=$1 child
    for child in $(pgrep -P "$parent"); do server_process "$child"; done
    if tr '\0' ' ' <"/proc/$parent/cmdline" | grep -Eq '^\S*python\S* \S*dreamenv serve '; then
        echo "$parent"
    fi
}
buildah_uid() { awk '/^Uid:/ {print $2}' "/proc/$(server_process "$RUNNING")/status"; }
buildah_stop() {
    STATUS=0
    kill -TERM "$(server_process "$RUNNING")"
    wait "$RUNNING" || STATUS=$?
    RUNNING=
}
buildah_logs() { cat "$WORK/log"; }
buildah_healthcheck() {
    b inspect --type image --format \
        '{{range .Docker.Config.Healthcheck.Test}}{{.}} {{end}}' "$IMAGE"
}
buildah_clean() {
    if [[ -n ${RUNNING:-} ]]; then
        local left
        left=$(server_process "$RUNNING")
        [[ -z $left ]] || kill -KILL "$left"
        wait "$RUNNING" || true
    fi
    for host in server client; do ip netns delete "$NET-$host" 2>/dev/null || true; done
    [[ -z ${CONTAINER:-} ]] || b rm "$CONTAINER" >/dev/null || true
    if [[ $KEEP == yes ]]; then
        echo "kept: buildah --storage-driver vfs --root $WORK/store images"
    else
        rm -rf "$WORK/store" "$WORK/run"
    fi
}

# -------------------------------------------------------------------------------- the trial

if docker info >/dev/null 2>&1; then ENGINE=docker KIND=engine
elif podman info >/dev/null 2>&1; then ENGINE=podman KIND=engine
elif command -v buildah >/dev/null && [[ $(id -u) == 0 ]]; then
    ENGINE=buildah KIND=buildah NET=dreams-$$
else
    fail "expected docker or podman, or root and: apt-get install buildah debootstrap iproute2"
fi
clean() {
    ${KIND}_clean
    rm -rf "$WORK/clients" "$WORK/token" "$WORK/token.before"
    [[ -z $MADE || $KEEP == yes ]] || rm -rf "$MADE"
}
trap clean EXIT

say "build with $ENGINE"
${KIND}_build

healthy() {  # as the engine would find out
    local health
    read -ra health <<<"$(${KIND}_healthcheck)"
    [[ ${health[0]} == CMD ]] || fail "expected a HEALTHCHECK of the form CMD, got: ${health[*]}"
    for ((second = 0; ; second++)); do
        ${KIND}_exec "${health[@]:1}" 2>/dev/null && break
        ((second < 60)) || { ${KIND}_logs; fail "not healthy after 60 s"; }
        sleep 1
    done
    echo "healthy: ${health[*]:1}"
}
learn_secrets() {  # by the two commands that the log names
    ${KIND}_exec cat /var/lib/dreamenv/ca/ca.pem >"$WORK/ca.pem"
    ${KIND}_exec sed -n 's/^learners://p' /var/lib/dreamenv/tokens >"$WORK/token"
    ! ${KIND}_logs | grep -qF "$(cat "$WORK/token")" || fail "the token is in the log"
}
client() {
    OMP_NUM_THREADS=1 ${KIND}_client "$PYTHON" server/try_client.py --server "$SERVER" \
        --dream "$DREAM" --ca "$WORK/ca.pem" --token "$WORK/token" "$@" \
        || { ${KIND}_logs; fail "the client"; }
}
stop() {
    ${KIND}_stop
    ${KIND}_logs | tail -n 4
    [[ $STATUS == 0 ]] || fail "expected the server to exit with 0, got $STATUS"
    echo "exit status $STATUS"
}
certificate() {  # name, signer or nothing for an authority: NAME.pem and NAME.key in clients/
    local path=$WORK/clients/$1 signer=(-addext "basicConstraints=critical,CA:TRUE")
    [[ -z ${2:-} ]] || signer=(-CA "$WORK/clients/$2.pem" -CAkey "$WORK/clients/$2.key")
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 \
        -subj "/CN=$1" "${signer[@]}" -keyout "$path.key" -out "$path.pem" 2>/dev/null
}

ARGUMENTS=(--threads 1 --drain-seconds 5)
mkdir -p "$WORK/clients"

say "run"
${KIND}_start
healthy
${KIND}_logs

say "not root"
uid=$(${KIND}_uid)
[[ $uid =~ ^[0-9]+$ && $uid != 0 ]] || fail "expected another user than root, got uid '$uid'"
echo "the server runs as uid $uid"

say "a client outside"
learn_secrets
client

say "SIGTERM"
stop

say "the same volume, with mutual TLS"
cp "$WORK/ca.pem" "$WORK/ca.before"
cp "$WORK/token" "$WORK/token.before"
certificate authority
certificate learner authority
${KIND}_start --tls-client-ca /clients/authority.pem
healthy
learn_secrets
cmp "$WORK/ca.pem" "$WORK/ca.before" || fail "expected the authority to outlive the container"
cmp "$WORK/token" "$WORK/token.before" || fail "expected the token to outlive the container"
client --cert "$WORK/clients/learner.pem" --key "$WORK/clients/learner.key"
stop

say "the image serves"
