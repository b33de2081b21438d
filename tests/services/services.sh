#!/usr/bin/env bash
# Real servers for the tests, on loopback and without containers: Apache Kafka (one KRaft node, jars from Maven),
# MinIO (built by `go install`), PostgreSQL (Debian's package) and Apicurio Registry, which speaks the protocol of
# Confluent's schema registry (from Maven); and the Python environment of the judges. Each is fetched once into a cache
# and later used without the network.
#
# A server belongs to the state folder that started it. It is known by its process id and the start time of that
# process, so a signal never reaches a process that this script did not start. `up` may be called by several
# processes at once and returns when the servers answer.
set -euo pipefail
umask 022

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
cache=${SLUICE_TEST_CACHE:-$HOME/.cache/sluice-tests}
state=${SLUICE_TEST_STATE:-$here/../../target/test-services}
ready_seconds=${SLUICE_TEST_READY_SECONDS:-120}

kafka_version=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$here/kafka/pom.xml")
registry_version=3.3.3
minio_version=v0.0.0-20260212201848-7aac2a2c5b7c # newer than the last release; release tags are not Go versions

minio_root=sluice-test-root
minio_root_secret=sluice-test-root-secret
minio_user=sluice-test # what Sluice itself signs in as: it may do only what minio/policy.json allows
minio_user_secret=sluice-test-secret
postgres_user=sluice
postgres_secret=sluice-test-postgres-secret
servers=(kafka minio postgres registry)
fetched=(python kafka registry postgres minio) # in this order: the build of MinIO takes minutes
minio_bucket=lake # the one that minio/policy.json names

say() { printf '%s\n' "$*" >&2; }
die() { say "services: $*"; exit 1; }
need() { command -v "$1" >/dev/null || die "needs the program $1 ($2): install it and run this again"; }

usage() {
  cat >&2 <<EOF
usage: services.sh up      fetch what is missing, start, return when all answer
       services.sh env     print export lines for clients and judges
       services.sh down    stop, keep the data
       services.sh wipe    stop and delete the data
       services.sh fetch   only download and build
       services.sh status  what runs where
EOF
  exit 2
}

# ---------------------------------------------------------------- processes

start_time() { # of process $1, in clock ticks since boot; fails for one that is gone
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  # shellcheck disable=SC2086  # split on purpose: the fields after "(name)"
  set -- ${stat##*) }
  [[ $1 != Z && $1 != X ]] && printf '%s\n' "${20}"
}

pid_of() { # prints the process id of service $1 when it runs
  local pid started
  read -r pid started 2>/dev/null <"$state/$1/pid" || return 1
  [[ -n $started && $(start_time "$pid") == "$started" ]] && printf '%s\n' "$pid"
}

port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Seven neighbouring ports that nobody listens on, chosen once and kept until `wipe`: two checkouts never meet.
choose_ports() {
  local first port
  if [[ ! -f $state/ports ]]; then
    for ((first = 29100; first < 30000; first += 10)); do
      for ((port = first; port < first + 7; port++)); do
        port_open "$port" && continue 2
      done
      break
    done
    echo "$first" >"$state/ports"
  fi
  first=$(<"$state/ports")
  minio_port=$first
  minio_console_port=$((first + 1))
  kafka_port=$((first + 2))
  kafka_controller_port=$((first + 3))
  postgres_port=$((first + 4))
  registry_port=$((first + 5))
  registry_management_port=$((first + 6))
}

launch() { # launch NAME COMMAND...: in a session of its own, output to the service's log
  local dir=$state/$1 pid
  shift
  [[ ! -f $dir/log ]] || mv -f "$dir/log" "$dir/log.1"
  setsid env -C "$dir" "$@" >"$dir/log" 2>&1 </dev/null 7>&- 8>&- 9>&- & # the locks of the callers stay theirs
  pid=$!
  printf '%s %s\n' "$pid" "$(start_time "$pid" || echo gone)" >"$dir/pid"
}

stop() { # SIGTERM, and SIGKILL after 30 s, to the recorded process only
  local name=$1 pid deadline=$((SECONDS + 30))
  if pid=$(pid_of "$name"); then
    kill -s TERM "$pid" 2>/dev/null || true
    while pid_of "$name" >/dev/null; do
      ((SECONDS < deadline)) || kill -s KILL "$pid" 2>/dev/null || true
      sleep 0.2
    done
    say "$name: stopped (pid $pid)"
  fi
  rm -f "$state/$name/pid"
}

await() { # await NAME CHECK...: until CHECK succeeds, the process ends or time is up
  local name=$1 deadline=$((SECONDS + ready_seconds)) why=
  shift
  until "$@" >"$state/$name/check" 2>&1; do
    if ! pid_of "$name" >/dev/null; then
      why='ended before it was ready'
    elif ((SECONDS >= deadline)); then
      why="was not ready after $ready_seconds s"
    fi
    if [[ -n $why ]]; then
      say "$name: $why. The last check said:"
      cat "$state/$name/check" >&2
      say "$name: the end of its log:"
      tail -n 40 "$state/$name/log" >&2 || true
      stop "$name"
      return 1
    fi
    sleep 0.3
  done
}

# ---------------------------------------------------------------- python

# Named after the content of the requirements, so an environment is made once and never changed.
python_home() { printf '%s\n' "$cache/python-$(sha256sum "$here/../requirements.txt" | cut -c 1-16)"; }
python_env() { echo "export PYTHON=$(python_home)/bin/python"; }

python_fetch() {
  local home
  home=$(python_home)
  [[ ! -d $home ]] || return 0
  need python3 'Python 3.10 or newer with venv, for the judges'
  say "python: fetching what tests/requirements.txt names"
  rm -rf "$home.new"
  python3 -m venv "$home.new"
  "$home.new/bin/python" -m pip install --quiet --disable-pip-version-check -r "$here/../requirements.txt" >&2
  mv "$home.new" "$home"
}

# ---------------------------------------------------------------- kafka

kafka_home() { printf '%s\n' "$cache/kafka-$kafka_version"; }
kafka_ports() { echo "$kafka_port $kafka_controller_port"; }
kafka_env() { echo "export KAFKA_BOOTSTRAP=127.0.0.1:$kafka_port"; }

kafka_fetch() {
  local home
  home=$(kafka_home)
  [[ ! -d $home ]] || return 0
  need mvn 'Maven, to fetch Kafka'
  say "kafka: fetching $kafka_version"
  rm -rf "$home.new"
  mvn -q -B -f "$here/kafka/pom.xml" dependency:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$home.new" >&2
  mv "$home.new" "$home"
}

kafka_java() { # kafka_java JVM-FLAG-OR-CLASS ARG...
  need java 'Java 17 or newer, to run Kafka'
  exec java -XX:+UseSerialGC -Dlog4j2.configurationFile="$here/kafka/log4j2.xml" -cp "$(kafka_home)/*" "$@"
}

kafka_start() {
  local dir=$state/kafka id
  cat >"$dir/server.properties" <<EOF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$kafka_controller_port
listeners=PLAINTEXT://127.0.0.1:$kafka_port,CONTROLLER://127.0.0.1:$kafka_controller_port
advertised.listeners=PLAINTEXT://127.0.0.1:$kafka_port
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$dir/data
# topics are made by those who declare them, never by a misspelt name
auto.create.topics.enable=false
# one node: everything internal has one replica, and few partitions so that starts are quick
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=4
group.initial.rebalance.delay.ms=0
# small machine
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=16777216
EOF
  if [[ ! -f $dir/data/meta.properties ]]; then
    # 16 random bytes, url-safe; a fixed first letter, since an id must not begin with a dash
    id=L$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | cut -c 2-22)
    (kafka_java -Xmx256m -Dkafka.log.level=WARN kafka.tools.StorageTool format \
      -t "$id" -c "$dir/server.properties") >"$dir/format.log" 2>&1 || {
      tail -n 20 "$dir/format.log" >&2
      return 1
    }
  fi
  launch kafka "$BASH" "$here/services.sh" _exec kafka_java -Xms128m -Xmx768m -XX:+ExitOnOutOfMemoryError \
    -Djava.awt.headless=true kafka.Kafka "$dir/server.properties"
}

kafka_is_ready() { grep -q 'Kafka Server started' "$state/kafka/log" && port_open "$kafka_port"; }
kafka_wait() { await kafka kafka_is_ready; }

# ---------------------------------------------------------------- minio

minio_program() { printf '%s\n' "$cache/minio-$minio_version/minio"; }
minio_ports() { echo "$minio_port $minio_console_port"; }

minio_env() {
  cat <<EOF
export MINIO_ENDPOINT=http://127.0.0.1:$minio_port
export MINIO_BUCKET=$minio_bucket
export MINIO_ROOT_USER=$minio_root
export MINIO_ROOT_PASSWORD=$minio_root_secret
export AWS_ENDPOINT_URL=http://127.0.0.1:$minio_port
export AWS_ACCESS_KEY_ID=$minio_user
export AWS_SECRET_ACCESS_KEY=$minio_user_secret
export AWS_REGION=us-east-1
EOF
}

minio_fetch() {
  local home=$cache/minio-$minio_version
  [[ ! -x $home/minio ]] || return 0
  need go 'Go 1.24.8 or newer, to build MinIO'
  say "minio: building $minio_version (some minutes, about 1.5 GiB of memory)"
  rm -rf "$home.new"
  GOBIN=$home.new CGO_ENABLED=0 nice -n 10 go install -trimpath -ldflags '-s -w' \
    "github.com/minio/minio@$minio_version" >&2
  mv "$home.new" "$home"
}

minio_start() {
  mkdir -p "$state/minio/data" "$state/minio/certs"
  launch minio env MINIO_ROOT_USER="$minio_root" MINIO_ROOT_PASSWORD="$minio_root_secret" MINIO_UPDATE=off \
    GOMEMLIMIT=512MiB "$(minio_program)" server --address "127.0.0.1:$minio_port" \
    --console-address "127.0.0.1:$minio_console_port" --certs-dir "$state/minio/certs" "$state/minio/data"
}

minio_make_access() { # the bucket, and the user with its policy; those that exist are left as they are
  local -
  set -a
  eval "$(minio_env)"
  "$(python_home)/bin/python" "$here/minio_access.py" "$here/../../minio/policy.json"
}

minio_wait() {
  await minio curl -fs --max-time 5 "http://127.0.0.1:$minio_port/minio/health/ready" &&
    { minio_make_access || { stop minio; return 1; }; }
}

# ---------------------------------------------------------------- postgres

postgres_bin() { # the folder of the newest version that is installed, or of the one in PATH
  local program
  program=$(printf '%s\n' /usr/lib/postgresql/*/bin/initdb | sort -V | tail -n 1)
  [[ -x $program ]] || program=$(command -v initdb) || return 1
  dirname "$(readlink -f "$program")"
}
postgres_ports() { echo "$postgres_port"; }

postgres_env() {
  echo "export POSTGRES_URL=postgresql://$postgres_user@127.0.0.1:$postgres_port/postgres"
  echo "export POSTGRES_PASSWORD=$postgres_secret"
}

postgres_fetch() {
  postgres_bin >/dev/null && return 0
  ((EUID == 0)) || die 'needs PostgreSQL 15 or newer: install it (Debian: apt-get install postgresql) and run this again'
  need apt-get 'to install PostgreSQL'
  say 'postgres: installing the package postgresql-15'
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq >&2
  apt-get install -y -qq --no-install-recommends postgresql-common >&2
  # only the programs are wanted: the package would also make and start a server of its own
  sed -i 's/^#\?create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
  apt-get install -y -qq --no-install-recommends postgresql-15 >&2
}

postgres_as() { # the server refuses to run as root
  if ((EUID == 0)); then
    exec setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"
  fi
  exec "$@"
}

# Root's server runs as nobody, who need not be able to reach the checkout.
postgres_data() {
  if ((EUID == 0)); then
    printf '%s/sluice-test-postgres-%s\n' "${TMPDIR:-/tmp}" "$(readlink -m "$state" | sha256sum | cut -c 1-12)"
  else
    printf '%s\n' "$state/postgres/data"
  fi
}

postgres_start() {
  local dir=$state/postgres data bin
  data=$(postgres_data)
  bin=$(postgres_bin)
  if [[ ! -f $data/PG_VERSION ]]; then
    rm -rf "$data"
    mkdir -p "$data"
    printf '%s\n' "$postgres_secret" >"$data.password"
    if ((EUID == 0)); then chown nobody:nogroup "$data"; fi
    (cd / && postgres_as "$bin/initdb" --pgdata="$data" --username="$postgres_user" --auth=scram-sha-256 \
      --pwfile="$data.password" --encoding=UTF8 --locale=C --no-sync) >"$dir/initdb.log" 2>&1 || {
      tail -n 20 "$dir/initdb.log" >&2
      return 1
    }
  fi
  launch postgres "$BASH" "$here/services.sh" _exec postgres_as "$bin/postgres" -D "$data" -p "$postgres_port" \
    -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off -c shared_buffers=32MB
}

postgres_is_ready() { "$(postgres_bin)/pg_isready" -q -h 127.0.0.1 -p "$postgres_port"; }
postgres_wait() { await postgres postgres_is_ready; }

# ---------------------------------------------------------------- schema registry

registry_home() { printf '%s\n' "$cache/apicurio-registry-$registry_version"; }
registry_ports() { echo "$registry_port $registry_management_port"; }
registry_url() { echo "http://127.0.0.1:$registry_port/apis/ccompat/v7"; }
registry_env() { echo "export SCHEMA_REGISTRY_URL=$(registry_url)"; }

registry_fetch() {
  local home name=apicurio-registry-app-$registry_version-all.tar.gz
  home=$(registry_home)
  [[ ! -d $home ]] || return 0
  need mvn 'Maven, to fetch the schema registry'
  say "registry: fetching Apicurio Registry $registry_version"
  rm -rf "$home.new"
  mkdir -p "$home.new"
  (cd "$home.new" && mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
    "-Dartifact=io.apicurio:apicurio-registry-app:$registry_version:tar.gz:all" -DoutputDirectory=. >&2)
  tar -xzf "$home.new/$name" -C "$home.new"
  rm "$home.new/$name"
  mv "$home.new" "$home"
}

registry_java() { # a java of version 21 or newer: that of JAVA_HOME, the one in PATH, or one installed beside it
  local java version
  for java in "${JAVA_HOME:-}/bin/java" "$(readlink -f "$(command -v java)")" /usr/lib/jvm/*/bin/java; do
    [[ -x $java ]] || continue
    version=$(sed -n 's/^JAVA_VERSION="\([0-9]*\).*/\1/p' "${java%/bin/java}/release" 2>/dev/null || true)
    if ((${version:-0} >= 21)); then
      printf '%s\n' "$java"
      return
    fi
  done
  die 'needs Java 21 or newer, to run the schema registry: install one, or let JAVA_HOME name one'
}

registry_start() {
  local java
  java=$(registry_java) || return 1
  # schemas are kept in memory: each `up` begins with none
  launch registry env QUARKUS_HTTP_HOST=127.0.0.1 QUARKUS_HTTP_PORT="$registry_port" \
    QUARKUS_MANAGEMENT_HOST=127.0.0.1 QUARKUS_MANAGEMENT_PORT="$registry_management_port" \
    QUARKUS_HTTP_ACCESS_LOG_ENABLED=false APICURIO_DATASOURCE_URL='jdbc:h2:mem:registry' \
    APICURIO_DATASOURCE_JDBC_INITIAL_SIZE=2 APICURIO_DATASOURCE_JDBC_MIN_SIZE=2 \
    "$java" -XX:+UseSerialGC -Xmx256m -jar "$(registry_home)/quarkus-run.jar"
}

# Confluent's registry begins with BACKWARD, this one with NONE.
registry_begin() {
  curl -fs --max-time 10 -X PUT -H 'Content-Type: application/vnd.schemaregistry.v1+json' \
    -d '{"compatibility":"BACKWARD"}' "$(registry_url)/config"
}
registry_wait() { await registry curl -fs --max-time 10 "$(registry_url)/subjects" && await registry registry_begin; }

# ---------------------------------------------------------------- commands

names() { # checks the names given and prints them, one a line
  local name
  (($# > 0)) || usage
  [[ $* != all ]] || set -- "${servers[@]}"
  for name in "$@"; do
    [[ " ${servers[*]} " == *" $name "* ]] || die "unknown service $name: ${servers[*]} or all"
    printf '%s\n' "$name"
  done
}

fetch() { # one fetch of a service at a time for one cache
  (
    flock 8
    "${1}_fetch"
  ) 8>"$cache/.$1.lock"
}

start() {
  local name=$1 port
  mkdir -p "$state/$name"
  for port in $("${name}_ports"); do
    if port_open "$port"; then
      say "$name: port $port is taken by another process; services.sh wipe chooses other ports"
      return 1
    fi
  done
  "${name}_start"
}

up() {
  local name begun=$SECONDS failed=0
  local -a started=()
  for name in "${fetched[@]}"; do fetch "$name"; done
  exec 9>"$state/.lock"
  flock 9
  choose_ports
  for name in "${servers[@]}"; do
    pid_of "$name" >/dev/null && continue
    if (start "$name"); then started+=("$name"); else failed=1; fi
  done
  for name in "${started[@]}"; do
    if "${name}_wait"; then
      say "$name: ready after $((SECONDS - begun)) s, pid $(pid_of "$name"), port $("${name}_ports")"
    else
      failed=1
    fi
  done
  exec 9>&-
  return "$failed"
}

down() {
  local name
  exec 9>"$state/.lock"
  flock 9
  for name in "${servers[@]}"; do stop "$name"; done
  exec 9>&-
}

wipe() {
  local name
  down
  for name in "${servers[@]}"; do rm -rf "${state:?}/$name"; done
  rm -rf "$(postgres_data)" "$(postgres_data).password"
  rm -f "$state/ports"
}

print_env() {
  local name
  for name in "${fetched[@]}"; do "${name}_env"; done
}

print_status() {
  local name pid
  for name in "${servers[@]}"; do
    if pid=$(pid_of "$name"); then
      printf '%-8s up    pid %s, port %s\n' "$name" "$pid" "$("${name}_ports")"
    else
      printf '%-8s down\n' "$name"
    fi
  done
}

main() {
  local command=${1:-} name
  (($# > 0)) || usage
  shift
  mkdir -p "$cache" "$state"
  cache=$(cd -- "$cache" && pwd)
  state=$(cd -- "$state" && pwd)
  case $command in
    up | down | wipe) "$command" ;;
    fetch) for name in "${fetched[@]}"; do fetch "$name"; done ;;
    env | status)
      [[ -f $state/ports ]] || die "nothing was started here: services.sh up"
      choose_ports
      "print_$command"
      ;;
    _exec) "$@" ;; # how launch runs one of the functions above as a process of its own
    *) usage ;;
  esac
}

main "$@"
