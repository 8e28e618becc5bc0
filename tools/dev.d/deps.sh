# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# What each rung needs and how it gets here.  A need is met when its check holds, whoever installed
# it; only unmet ones are installed, so that a second run makes no call of apt or pip.

DEPS_RUNGS="build man unit scenario asan tsan torture lint bench bench-blob bench-hdfs bench-mount bench-python fuzz libfuse wheel demo all"

# rung | check | package | why.  Checks: cmd:PROGRAM, pc:PKG-CONFIG-MODULE, file:PATH, java:VERSION,
# py:MODULE (of the system's python3).
DEPS_APT='
build    | cmd:gcc            | gcc                      | compiles sluice
build    | file:/usr/include/stdio.h | libc6-dev         | the headers of the C library
build    | cmd:make           | make                     | runs the build
build    | cmd:autoreconf     | autoconf                 | makes configure
build    | cmd:automake       | automake                 | makes Makefile.in
build    | cmd:libtoolize     | libtool                  | builds the shared library
build    | cmd:pkg-config     | pkgconf                  | finds the libraries below
build    | pc:fuse3           | libfuse3-dev             | the mount view
build    | pc:libcurl         | libcurl4-openssl-dev     | HTTP
build    | pc:libcrypto       | libssl-dev               | hashes, HMAC, TLS
build    | pc:libxml-2.0      | libxml2-dev              | reads the listings of Blob storage
build    | pc:jansson         | libjansson-dev           | reads and writes JSON
build    | pc:yaml-0.1        | libyaml-dev              | reads job and dataset files
man      | cmd:scdoc          | scdoc                    | makes the man pages
build    | pc:libprotobuf-c   | libprotobuf-c-dev        | the messages of Hadoop
build    | pc:krb5-gssapi     | libkrb5-dev              | HDFS with Kerberos
build    | cmd:protoc-c       | protobuf-c-compiler      | makes C of them
unit     | pc:cmocka          | libcmocka-dev            | the unit test framework
mount    | cmd:fusermount3    | fuse3                    | mounts without root
python   | cmd:python3        | python3                  | runs scenarios, checks and examples
python   | py:ensurepip       | python3-venv             | keeps Python packages in the cache folder
python   | file:/etc/ssl/certs/ca-certificates.crt | ca-certificates | downloads from the package index
java     | java:17            | openjdk-17-jre-headless  | runs Spark and HDFS
node     | cmd:node           | nodejs                   | runs the emulator of Blob storage
node     | cmd:npm            | npm                      | fetches the emulator of Blob storage
web      | cmd:nginx          | nginx-light              | a web server for the scenarios of plain URLs
kerberos | file:/usr/sbin/krb5kdc | krb5-kdc             | the KDC of the scenarios on HDFS with Kerberos
kerberos | file:/usr/sbin/kadmin.local | krb5-admin-server | adds its principals
kerberos | cmd:kinit          | krb5-user                | gets tickets as a user does
maven    | cmd:mvn            | maven                    | fetches the jars of HDFS
browser  | cmd:chromium       | chromium                 | shows the report of a run, about 400 MB
scenario | cmd:strace         | strace                   | kills programs at a system call
scenario | cmd:fio            | fio                      | verifies what it reads through a mount
wheel    | cmd:patchelf       | patchelf                 | lets the program find the library beside it
hdfs-clients | cmd:javac       | openjdk-17-jdk-headless  | compiles the client that the bench compares with
curl     | cmd:curl           | curl                     | what the bench compares with
clang    | cmd:clang          | clang                    | compiles the fuzzers, with libFuzzer
libfuse  | cmd:meson          | meson                    | configures libfuse
libfuse  | cmd:ninja          | ninja-build              | builds libfuse
libfuse  | pc:liburing        | liburing-dev             | the rings of libfuse
libfuse  | pc:numa            | libnuma-dev              | where their memory lies
lint     | cmd:git            | git                      | lists the files to check
lint     | cmd:g++            | g++                      | checks that the header is C++
lint     | cmd:clang-format   | clang-format             | the format of C
lint     | cmd:cppcheck       | cppcheck                 | static analysis of C
lint     | cmd:pmccabe        | pmccabe                  | length and complexity of functions
lint     | cmd:shellcheck     | shellcheck               | static analysis of shell scripts
lint     | cmd:codespell      | codespell                | spelling
'

# rung | requirement | why
DEPS_PIP='
scenario | pytest==8.3.5         | runs the scenarios
scenario | pytest-timeout==2.3.1 | ends a scenario that hangs
scenario | pytest-xdist==3.6.1   | runs scenarios side by side
blob     | azure-storage-blob==12.24.0 | writes and reads blobs beside sluice
tables   | setuptools==80.9.0    | installs the Python package from the tree
tables   | fsspec==2026.9.0      | what the Python package plugs into, with its own test suite
tables   | pyarrow==26.0.1       | reads the tables of the Python package
tables   | pandas==3.1.1         | as data frames
tables   | polars==2.1.0         | and as others
tables   | dask[dataframe]==2026.8.0 | and as those that open URLs by themselves
hdfs     | hdfs-native==0.14.7   | a client of HDFS in Rust, beside sluice
spark    | pyspark==4.1.4        | Spark with Hadoop 3.4, about 450 MB
adlfs    | adlfs==2026.8.0       | what the bench of Python compares with
hdfs-clients | hdfs-native==0.14.7 | what the bench of HDFS compares with
wheel    | setuptools==80.9.0    | makes the wheel of the Python package
lint     | ruff==0.11.13         | static analysis and format of Python
lint     | mypy==2.4.1           | the type hints of the Python package
'

# rung | folder in the cache | coordinates, all of one set, "+" joins artifacts (with ":without=GROUP": what they
# need but that; "*": nothing) | why
DEPS_MAVEN='
hdfs     | hadoop-3.4.2 | org.apache.hadoop:hadoop-common:3.4.2 org.apache.hadoop:hadoop-hdfs:3.4.2 org.apache.hadoop:hadoop-hdfs-client:3.4.2 | a NameNode and a DataNode for the scenarios, about 65 MB
hdfs     | hadoop-httpfs-3.4.2 | org.apache.hadoop:hadoop-hdfs-httpfs:3.4.2:without=* com.googlecode.json-simple:json-simple:1.1.1:without=* | the gateway HttpFS beside it
knox     | knox-2.0.0 | org.apache.knox:gateway-server+gateway-service-definitions+gateway-service-webhdfs+gateway-service-health+gateway-provider-security-shiro+gateway-provider-security-jwt+gateway-provider-security-webappsec+gateway-provider-identity-assertion-pseudo+gateway-provider-rewrite+gateway-provider-rewrite-step-secure-query+gateway-provider-rewrite-func-hostmap-static+gateway-provider-rewrite-func-service-registry+gateway-provider-rewrite-func-inbound-query-param+gateway-provider-ha+gateway-provider-jersey:2.0.0:without=org.jetbrains.pty4j | the gateway Knox, about 95 MB
spark    | livy-0.7.1 | org.apache.livy:livy-server:0.7.1-incubating | a Livy server, whose batches Spark runs, about 73 MB
blob     | hadoop-azure-3.4.2 | org.apache.hadoop:hadoop-azure:3.4.2 | Spark reaches Blob storage, about 8 MB
'

# rung | package and version, one that runs on Node 18 and later | why
DEPS_NPM='
blob     | azurite@3.35.0     | the emulator of Blob storage, about 190 MB
'
DEPS_AZURITE_MAIN=npm/azurite@3.35.0/node_modules/azurite/dist/src/blob/main.js

# rung | module@version and program | why.  Only where a Go that can build it is: Debian 12 has none in its
# packages, and the tests that want it are skipped then.
DEPS_GO='
scenario | github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0 | a network that is slow and breaks
'
DEPS_TOXIPROXY=go/bin/server

# rung | crate@version | program | why.  Only where a cargo that can build it is, which Debian 12 has not: the tests that
# want it are skipped then.
DEPS_CARGO='
scenario | pjdfstest@0.2.2 | pjdfstest | what POSIX says of each call, in a writable mount
scenario | fsx@0.3.2       | fsx       | random operations on a file, in a writable mount
'
DEPS_CARGO_BIN=cargo/bin

# The groups of the tables that a rung stands for.
deps_groups()
{
	case $1 in
	build) echo build ;;
	man) echo build man ;;
	unit | torture) echo build unit ;;
	demo) echo build mount python java spark tables ;;
	scenario) echo build man mount python java scenario tables spark hdfs kerberos knox node blob web browser ;;
	asan | tsan) echo build unit mount python java scenario hdfs node blob web ;;
	bench-blob) echo build mount python scenario node blob curl ;;
	bench-hdfs) echo build mount python java scenario hdfs hdfs-clients curl ;;
	bench-python) echo build mount python scenario tables blob node adlfs ;;
	bench-mount) echo build mount python scenario web curl ;;
	fuzz) echo build clang ;;
	wheel) echo build python wheel ;;
	libfuse) echo build libfuse ;;
	bench) echo build mount python ;;
	lint) echo build man unit python lint ;;
	all) echo build man unit mount python java scenario tables spark hdfs kerberos knox node blob web browser lint ;;
	*) die "there is no rung '$1'; there are: $DEPS_RUNGS" ;;
	esac
}

# rows TABLE GROUP...: the rows of the table that belong to the groups, as tab-separated fields.
deps_rows()
{
	local table=$1
	shift
	printf '%s\n' "$table" | awk -F' *[|] *' -v groups=" $* " -v OFS='\t' '
		NF > 2 && index(groups, " " $1 " ") { $1 = $1; sub(/ +$/, "", $NF); print }'
}

# The home of a Java of at least version $1, or nothing.
deps_java_home()
{
	local java version
	for java in "${JAVA_HOME:+$JAVA_HOME/bin/java}" "$(command -v java || true)" \
		/usr/lib/jvm/*/bin/java; do
		[ -x "$java" ] || continue
		version=$("$java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')
		[ "${version:-0}" -ge "$1" ] || continue
		java=$(readlink -f "$java")
		echo "${java%/bin/java}"
		return
	done
}

deps_met()
{
	local what=${1#*:}
	case $1 in
	cmd:*) command -v "$what" >/dev/null ;;
	pc:*) pkg-config --exists "$what" 2>/dev/null ;;
	file:*) [ -e "$what" ] ;;
	py:*) "$(deps_python)" -c "import $what" 2>/dev/null ;;
	java:*) [ -n "$(deps_java_home "$what")" ] ;;
	esac
}

# The system's own python3 first: a venv made by another one may lose it at any time.
deps_python()
{
	if [ -x /usr/bin/python3 ]; then echo /usr/bin/python3; else echo python3; fi
}

# again COMMAND...: thrice, with pauses: a mirror may be slow, or away for a moment.
again()
{
	local pause
	for pause in 5 30; do
		"$@" && return
		say "that failed, and is tried again in $pause s: $1"
		sleep "$pause"
	done
	"$@"
}

as_root()
{
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo -- "$@"
	else
		die "neither root nor sudo; please run as root: $*"
	fi
}

apt_get()
{
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends \
		-o Acquire::Retries=5 -o DPkg::Lock::Timeout=300 "$@" \
		>>"$cache/apt.log" 2>&1 </dev/null
}

apt_fresh()
{
	apt_get update && apt_get install "$@"
}

# The lists are fetched when they lack a package, and when they are too old to install one.
deps_apt_install()
{
	command -v apt-get >/dev/null ||
		die "this is no Debian; please install by your own means: $*"
	: >"$cache/apt.log"
	apt-cache show "$@" >/dev/null 2>&1 || apt_get update || true
	apt_get install "$@" || again apt_fresh "$@" || {
		tail -n 20 "$cache/apt.log" >&2
		die "apt-get could not install: $* (all it said: $cache/apt.log)"
	}
}

deps_apt()
{
	local check package why packages=()
	while IFS=$'\t' read -r _ check package why; do
		deps_met "$check" && continue
		say "installing $package (apt): $why"
		packages+=("$package")
	done < <(deps_rows "$DEPS_APT" "$@")
	[ ${#packages[@]} -eq 0 ] || deps_apt_install "${packages[@]}"
}

venv_dir()
{
	echo "$cache/venv-$("$(deps_python)" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
}

deps_pip()
{
	local venv requirement why
	[ -n "$(deps_rows "$DEPS_PIP" "$@")" ] || return 0
	venv=$(venv_dir)
	[ -x "$venv/bin/pip" ] || {
		say "making a Python environment in $venv"
		"$(deps_python)" -m venv --clear "$venv" || die "python could not make $venv"
	}
	while IFS=$'\t' read -r _ requirement why; do
		[ -e "$venv/.has-$requirement" ] && continue
		say "installing $requirement (pip, into $venv): $why"
		again "$venv/bin/pip" -q --no-input install --disable-pip-version-check \
			--timeout 60 --use-pep517 "$requirement" </dev/null >&2 ||
			die "pip could not install $requirement"
		touch "$venv/.has-$requirement"
	done < <(deps_rows "$DEPS_PIP" "$@")
}

# Of a connection that is silent maven expects something for half an hour, unless told otherwise.
maven_copy()
{
	mvn -B -q -f "$1/pom.xml" -Dmaven.wagon.rto=60000 -Daether.connector.requestTimeout=60000 \
		org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
		-DincludeScope=runtime -DoutputDirectory="$1" >"$cache/maven.log" 2>&1 </dev/null
}

# maven_fetch FOLDER COORDINATE...: the jars of the coordinates and of all that they need at run time.
# The folder appears when it is complete.
maven_fetch()
{
	local dir=$1 part=$1.part coordinate group artifacts artifact version without
	shift
	rm -rf "$part"
	mkdir -p "$part"
	{
		echo '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
		echo '<groupId>sluice</groupId><artifactId>jars</artifactId><version>1</version>'
		echo '<packaging>pom</packaging><dependencies>'
		for coordinate in "$@"; do
			IFS=: read -r group artifacts version without <<<"$coordinate"
			for artifact in ${artifacts//+/ }; do
				echo "<dependency><groupId>$group</groupId><artifactId>$artifact</artifactId>"
				echo "<version>$version</version>"
				[ -z "$without" ] || echo "<exclusions><exclusion><groupId>${without#*=}</groupId>" \
					"<artifactId>*</artifactId></exclusion></exclusions>"
				echo "</dependency>"
			done
		done
		echo '</dependencies></project>'
	} >"$part/pom.xml"
	again maven_copy "$part" || {
		tail -n 20 "$cache/maven.log" >&2
		die "maven could not fetch: $* (all it said: $cache/maven.log)"
	}
	mv "$part" "$dir"
}

deps_maven()
{
	local folder coordinates why rows
	rows=$(deps_rows "$DEPS_MAVEN" "$@")
	[ -n "$rows" ] || return 0
	while IFS=$'\t' read -r _ folder coordinates why; do
		[ ! -d "$cache/$folder" ] || continue
		deps_met cmd:mvn || deps_apt maven
		say "fetching $folder (maven): $why"
		# shellcheck disable=SC2086
		maven_fetch "$cache/$folder" $coordinates
	done <<<"$rows"
}

npm_fetch()
{
	rm -rf "$1"
	mkdir -p "$1"
	npm install --prefix "$1" --no-fund --no-audit --no-update-notifier --fetch-timeout=60000 "$2" \
		>"$cache/npm.log" 2>&1 </dev/null
}

# Each in a folder of its own, which appears when it is complete.
deps_npm()
{
	local package why dir rows
	rows=$(deps_rows "$DEPS_NPM" "$@")
	[ -n "$rows" ] || return 0
	while IFS=$'\t' read -r _ package why; do
		dir=$cache/npm/$package
		[ ! -d "$dir" ] || continue
		say "fetching $package (npm): $why"
		again npm_fetch "$dir.part" "$package" || {
			tail -n 20 "$cache/npm.log" >&2
			die "npm could not fetch $package (all it said: $cache/npm.log)"
		}
		mv "$dir.part" "$dir"
	done <<<"$rows"
}

deps_go()
{
	local module why rows
	rows=$(deps_rows "$DEPS_GO" "$@")
	[ -n "$rows" ] && deps_met cmd:go || return 0
	while IFS=$'\t' read -r _ module why; do
		[ ! -e "$cache/$DEPS_TOXIPROXY" ] || continue
		say "building $module (go): $why"
		GOBIN=$cache/go/bin timeout 300 go install "$module" >"$cache/go.log" 2>&1 </dev/null ||
			say "it could not be built, and its tests are skipped ($cache/go.log)"
	done <<<"$rows"
}

deps_cargo()
{
	local crate program why rows
	rows=$(deps_rows "$DEPS_CARGO" "$@")
	[ -n "$rows" ] && deps_met cmd:cargo || return 0
	while IFS=$'\t' read -r _ crate program why; do
		[ ! -e "$cache/$DEPS_CARGO_BIN/$program" ] || continue
		say "building $crate (cargo): $why"
		timeout 400 cargo install -q --locked --root "$cache/cargo" "$crate" \
			>"$cache/cargo.log" 2>&1 </dev/null ||
			say "it could not be built, and its tests are skipped ($cache/cargo.log)"
	done <<<"$rows"
}

# Installs what rung $1 lacks.  One at a time: two scripts may share the cache.
deps_install()
{
	local groups lock
	read -r -a groups <<<"$(deps_groups "$1")"
	[ ${#groups[@]} -gt 0 ] || exit 1
	mkdir -p "$cache"
	exec {lock}>"$cache/.lock"
	flock "$lock"
	deps_apt "${groups[@]}"
	deps_pip "${groups[@]}"
	deps_maven "${groups[@]}"
	deps_npm "${groups[@]}"
	deps_go "${groups[@]}"
	deps_cargo "${groups[@]}"
	exec {lock}>&-
}
