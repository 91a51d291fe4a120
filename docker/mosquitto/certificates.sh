#!/bin/sh
# Certificates for the broker and its devices: certificates.sh FOLDER authority | server HOST... | device NAME.
#   sh docker/mosquitto/certificates.sh docker/mosquitto/certs authority
#   sh docker/mosquitto/certificates.sh docker/mosquitto/certs server broker.example.org 192.0.2.7
#   sh docker/mosquitto/certificates.sh keep-apart device gw-7     (the authority's ca.crt and ca.key lie there too)
# Whoever holds ca.key can be any device, h2twin included: move it off the broker's machine once the server is signed.
# The broker needs ca.crt, server.crt and server.key; a device gets ca.crt and its own two files.
set -eu
usage="usage: certificates.sh FOLDER authority | server HOST... | device NAME"
folder=${1:?$usage}
what=${2:?$usage}
mkdir -p "$folder"
cd "$folder"
umask 077
sign() { # sign FILE COMMON_NAME EXTENSIONS
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.csr" -subj "/CN=$2"
  printf '%s\n' "$3" > "$1.ext"
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 825 -sha256 -extfile "$1.ext" -out "$1.crt"
  rm "$1.csr" "$1.ext"
}
case $what in
  authority)
    if [ -e ca.key ]; then echo "there is an authority in $folder already" >&2; exit 3; fi
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.crt -days 3650 \
      -sha256 -subj "/CN=h2twin devices" ;;
  server)
    shift 2
    if [ $# = 0 ]; then echo "$usage" >&2; exit 3; fi
    names=
    for host in "$@"; do
      case $host in *[!0-9.]*) names=$names,DNS:$host ;; *) names=$names,IP:$host ;; esac
    done
    sign server "$1" "subjectAltName=${names#,}
extendedKeyUsage=serverAuth" ;;
  device)
    name=${3:?$usage}
    case $name in *[!A-Za-z0-9._-]*) echo "a name is letters, digits, . _ or -" >&2; exit 3 ;; esac
    sign "$name" "$name" "extendedKeyUsage=clientAuth" ;;
  *) echo "$usage" >&2; exit 3 ;;
esac
