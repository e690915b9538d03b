#!/bin/sh
# Puts the jars of the Reactive Streams TCK into a folder, where Maven Central is out of reach: Debian's source package
# has the TCK's source, which is compiled. Needs apt and a JDK; needs no root, installs nothing.
#   sh tests/reactive_streams/tck/jars_from_debian.sh ~/tck-jars
set -eu
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
mirror=$(apt-get indextargets --format '$(REPO_URI)' "Release: $suite" 'Component: main' 'Origin: Debian' | head -n 1)
jars=$(mkdir -p "$1" && cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

echo "deb $mirror $suite main" > sources.list
echo "deb-src $mirror $suite main" >> sources.list
mkdir -p lists/partial cache/archives/partial
apt() {
  apt-get -q -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=- \
    -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" "$@"
}
apt update
apt download libreactive-streams-java testng libbsh-java libjcommander-java
apt --download-only source reactive-streams

for package in *.deb; do dpkg -x "$package" debian; done
find debian/usr/share/java -type f -name '*.jar' -exec cp {} "$jars" \;
mkdir source classes
tar -xf reactive-streams_*.orig.tar.* -C source --strip-components=1
find source/tck/src/main source/examples/src/main -name '*.java' > files
javac -nowarn -d classes -cp "$jars/*" @files
jar --create --file "$jars/reactive-streams-tck.jar" -C classes .
ls "$jars"
